/* Which exported function of an executable or shared library an address of code belongs to.
 *
 * The dynamic linker's own table (.dynsym) is in memory for as long as the module is, so nothing is opened or read,
 * and it is that of the code that runs even when the file was replaced since. It isn't sorted by address, and how
 * long it is only its hash table tells (gABI, chapter 5; DT_GNU_HASH: buckets, then a chain each that ends with an
 * odd number).
 *
 * Thread rule: only while the module can't be unloaded; calls nothing that allocates or locks.
 */
#define _GNU_SOURCE
#include "symbols.h"

#include <stdbool.h>
#include <stddef.h>

struct table {
    const ElfW(Sym) *symbols;
    const char *names;
    const uint32_t *hash, *gnu_hash;
    size_t names_size;
};

/* glibc has made addresses of these in place, musl leaves them relative to the module. */
static const void *pointer_of(const struct dl_phdr_info *info, const ElfW(Dyn) *entry)
{
    uintptr_t value = entry->d_un.d_ptr;
    return (const void *)(value < info->dlpi_addr ? info->dlpi_addr + value : value);
}

static bool find_table(const struct dl_phdr_info *info, struct table *table)
{
    *table = (struct table){0};
    const ElfW(Dyn) *entry = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            entry = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    for (; entry && entry->d_tag != DT_NULL; entry++)
        switch (entry->d_tag) {
        case DT_SYMTAB: table->symbols = pointer_of(info, entry); break;
        case DT_STRTAB: table->names = pointer_of(info, entry); break;
        case DT_STRSZ: table->names_size = entry->d_un.d_val; break;
        case DT_HASH: table->hash = pointer_of(info, entry); break;
        case DT_GNU_HASH: table->gnu_hash = pointer_of(info, entry); break;
        default: break;
        }
    return table->symbols && table->names && (table->hash || table->gnu_hash);
}

static uint32_t count_symbols(const struct table *table)
{
    if (!table->gnu_hash)
        return table->hash[1];
    uint32_t buckets = table->gnu_hash[0], first = table->gnu_hash[1], words = table->gnu_hash[2], last = 0;
    const uint32_t *bucket = table->gnu_hash + 4 + words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t *chains = bucket + buckets;
    for (uint32_t i = 0; i < buckets; i++)
        last = bucket[i] > last ? bucket[i] : last;
    if (last < first || !last)
        return first;
    while (!(chains[last - first] & 1))
        last++;
    return last + 1;
}

static bool holds(const ElfW(Sym) *symbol, uintptr_t offset)
{
    unsigned type = symbol->st_info & 0xf;
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF &&
           offset - symbol->st_value < symbol->st_size;
}

const char *exported_function(const struct dl_phdr_info *info, uintptr_t address)
{
    struct table table;
    if (!find_table(info, &table))
        return NULL;
    uintptr_t offset = address - info->dlpi_addr;
    uint32_t count = count_symbols(&table);
    for (uint32_t i = 0; i < count; i++)
        if (holds(&table.symbols[i], offset) && table.symbols[i].st_name < table.names_size)
            return table.names + table.symbols[i].st_name;
    return NULL;
}
