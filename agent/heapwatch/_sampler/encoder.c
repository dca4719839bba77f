/* Writes the protobuf wire format into a mapping of our own.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook; the others call nothing of Python's.
 */
#include "encoder.h"

#include "memory.h"

#include <string.h>

#define ROOM_FIRST (1u << 18)
#define INTEGER 0 /* wire types */
#define BYTES 2

/* --- messages ----------------------------------------------------------------------------------------------- */

void part_varint(struct part *part, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        part->bytes[part->used++] = (unsigned char)(value | 0x80);
    part->bytes[part->used++] = (unsigned char)value;
}

void part_integer(struct part *part, unsigned field, uint64_t value)
{
    part_varint(part, field << 3 | INTEGER);
    part_varint(part, value);
}

void part_message(struct part *part, unsigned field, const struct part *message)
{
    part_varint(part, field << 3 | BYTES);
    part_varint(part, message->used);
    memcpy(part->bytes + part->used, message->bytes, message->used);
    part->used += message->used;
}

static bool make_room(struct encoder *encoder, size_t size)
{
    size_t room = encoder->room ? encoder->room : ROOM_FIRST;
    while (room < encoder->used + size)
        room *= 2;
    char *bytes = encoder->bytes ? hook_remap(encoder->bytes, encoder->room, room) : hook_map(room);
    if (!bytes)
        return false;
    encoder->bytes = bytes;
    encoder->room = room;
    return true;
}

void encoder_put(struct encoder *encoder, const void *bytes, size_t size)
{
    if (encoder->used + size > encoder->room && !make_room(encoder, size)) {
        encoder->failed = true;
        return;
    }
    memcpy(encoder->bytes + encoder->used, bytes, size);
    encoder->used += size;
}

static void put_field(struct encoder *encoder, unsigned field, const void *bytes, size_t size)
{
    PART(head, 2 * VARINT_MOST);
    part_varint(&head, field << 3 | BYTES);
    part_varint(&head, size);
    encoder_put(encoder, head.bytes, head.used);
    encoder_put(encoder, bytes, size);
}

void encoder_message(struct encoder *encoder, unsigned field, const struct part *message)
{
    put_field(encoder, field, message->bytes, message->used);
}

void encoder_drop(struct encoder *encoder)
{
    if (encoder->bytes)
        hook_unmap(encoder->bytes, encoder->room);
    encoder->bytes = NULL;
}

/* --- strings ------------------------------------------------------------------------------------------------ */

uint32_t new_string(struct encoder *encoder, struct strings *strings, const char *text, size_t size)
{
    put_field(encoder, STRING_FIELD, text, size);
    return strings->count++;
}

static uint32_t gil_new_string(struct encoder *encoder, struct strings *strings, PyObject *text)
{
    Py_ssize_t size;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &size);
    if (bytes)
        return new_string(encoder, strings, bytes, (size_t)size);
    PyErr_Clear(); /* a lone surrogate, from the name of a file: UTF-8 has none */
    PyObject *replaced = PyUnicode_AsEncodedString(text, "utf-8", "replace");
    if (!replaced) {
        encoder->failed = true;
        return 0;
    }
    uint32_t id = new_string(encoder, strings, PyBytes_AS_STRING(replaced), (size_t)PyBytes_GET_SIZE(replaced));
    Py_DECREF(replaced);
    return id;
}

uint32_t gil_string(struct encoder *encoder, struct strings *strings, PyObject *text)
{
    size_t mask = (1u << STRINGS_ORDER) - 1;
    size_t slot = (uint64_t)((uintptr_t)text >> 4) * 0x9e3779b97f4a7c15u >> (64 - STRINGS_ORDER);
    while (strings->slots[slot].text && strings->slots[slot].text != text)
        slot = (slot + 1) & mask;
    if (strings->slots[slot].text)
        return strings->slots[slot].id;
    uint32_t id = gil_new_string(encoder, strings, text);
    if (strings->known > mask / 4 * 3)
        return id;
    strings->known++;
    strings->slots[slot].text = text;
    return strings->slots[slot].id = id;
}

/* --- what Python gets --------------------------------------------------------------------------------------- */

struct encoded {
    PyObject_HEAD
    struct encoder encoder;
};

static int gil_get_buffer(PyObject *self, Py_buffer *view, int flags)
{
    struct encoder *encoder = &((struct encoded *)self)->encoder;
    return PyBuffer_FillInfo(view, self, encoder->bytes, (Py_ssize_t)encoder->used, 1, flags);
}

static void gil_dealloc(PyObject *self)
{
    encoder_drop(&((struct encoded *)self)->encoder);
    Py_TYPE(self)->tp_free(self);
}

static PyBufferProcs buffer = {.bf_getbuffer = gil_get_buffer};
static PyTypeObject encoded_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwatch._sampler.Encoded",
    .tp_doc = "A message in memory of its own, read by the buffer protocol.",
    .tp_basicsize = sizeof(struct encoded),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_as_buffer = &buffer,
    .tp_dealloc = gil_dealloc,
    .tp_free = PyObject_Free,
};

int gil_encoder_open(PyObject *module)
{
    return PyType_Ready(&encoded_type);
}

PyObject *gil_encoded(struct encoder *encoder)
{
    struct encoded *encoded = PyObject_New(struct encoded, &encoded_type);
    if (!encoded)
        return NULL;
    encoded->encoder = *encoder;
    *encoder = (struct encoder){0};
    return (PyObject *)encoded;
}
