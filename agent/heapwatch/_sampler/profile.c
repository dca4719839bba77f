/* Profiles in the pprof format, made from the tables.
 *
 * The format: google/pprof, proto/profile.proto; the numbers of fields below are its. Numbers of frames and of code
 * objects serve as ids of locations and functions, so that a sample costs a few bytes per frame and no look-up.
 * Strings are written when they are first named, samples in between, locations and functions last: fields of a
 * message may come in any order. All of it lies in mappings of our own, for blocks of such sizes would leave holes in
 * the host's heap and move its allocator's thresholds.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "profile.h"

#include "asserts.h"
#include "callers.h"
#include "encoder.h"
#include "live.h"
#include "lock.h"
#include "slice.h"
#include "snapshot.h"
#include "stack_text.h"
#include "stacks.h"
#include "thread_names.h"

#include <math.h>
#include <string.h>

/* Entries of the string table that are always there. */
enum { EMPTY, ALLOC_OBJECTS, COUNT, ALLOC_SPACE, BYTES, INUSE_OBJECTS, INUSE_SPACE, SPACE, ENDPOINT, THREAD, FIXED };
static const char *const fixed[FIXED] = {"", "alloc_objects", "count", "alloc_space", "bytes", "inuse_objects",
                                         "inuse_space", "space", "endpoint", "thread"};

/* Ids: those of frames and code objects, then those of what has a name only, then native callers. */
#define NAMED_LOCATION (FRAME_LIMIT + 1)
#define NAMED_FUNCTION (CODE_LIMIT + 1)
#define TRUNCATED STACK_FIRST /* after the names of stacks */
#define NAMED (TRUNCATED + 1)
#define CALLER_LOCATION (NAMED_LOCATION + NAMED)
#define CALLER_FUNCTION (NAMED_FUNCTION + NAMED)
#define LOCATIONS (CALLER_LOCATION + CALLER_LIMIT + 1)

#define PART_MOST ((DEPTH_LIMIT + 4) * 3) /* a stack of ids below 2^21 */

struct profile {
    struct encoder out;
    struct slice slice;
    struct strings strings;
    PyObject *names; /* of labels */
    uint64_t locations[LOCATIONS / 64 + 1], functions[CODE_LIMIT / 64 + 1]; /* sets: which are named */
};

static void add(uint64_t *set, uint32_t id)
{
    set[id / 64] |= 1ull << (id % 64);
}

static bool has(const uint64_t *set, uint32_t id)
{
    return set[id / 64] >> (id % 64) & 1;
}

/* --- samples ------------------------------------------------------------------------------------------------ */

static void gil_put_location(struct profile *profile, struct part *part, uint32_t id)
{
    add(profile->locations, id);
    part_varint(part, id);
}

static void gil_put_stack(struct profile *profile, struct part *part, const struct row *row)
{
    const struct stack *stack = hook_stack_at(row->stack);
    if (row->caller)
        gil_put_location(profile, part, CALLER_LOCATION + row->caller);
    if (row->stack < STACK_FIRST && !(row->caller && row->stack == STACK_NONE))
        gil_put_location(profile, part, NAMED_LOCATION + row->stack);
    for (uint32_t i = 0; i < stack->depth; i++)
        gil_put_location(profile, part, stacks.links[stack->links + i]);
    if (stack->truncated)
        gil_put_location(profile, part, NAMED_LOCATION + TRUNCATED);
}

static void gil_put_label(struct profile *profile, struct part *part, uint32_t key, PyObject *value)
{
    PART(label, 4 * VARINT_MOST);
    if (!value || !PyUnicode_Check(value) || !PyUnicode_GET_LENGTH(value))
        return;
    part_integer(&label, 1, key);
    part_integer(&label, 2, gil_string(&profile->out, &profile->strings, value));
    part_message(part, 3, &label);
}

static PyObject *gil_label_name(const struct profile *profile, uint32_t label)
{
    PyObject *key = label ? PyLong_FromUnsignedLong(label) : NULL;
    PyObject *name = key ? PyDict_GetItemWithError(profile->names, key) : NULL;
    Py_XDECREF(key);
    return name;
}

static void gil_put_sample(struct profile *profile, const struct row *row, bool take)
{
    PART(part, PART_MOST);
    PART(sample, PART_MOST + 16 * VARINT_MOST);
    int64_t objects = llround(row->alloc_objects), bytes = llround(row->alloc_bytes);
    if (take) {
        struct taken taken = hook_taken(row);
        objects = taken.objects, bytes = taken.bytes;
    }
    gil_put_stack(profile, &part, row);
    part_message(&sample, 1, &part);
    part.used = 0;
    part_varint(&part, (uint64_t)objects);
    part_varint(&part, (uint64_t)bytes);
    part_varint(&part, (uint64_t)llround(row->live_objects));
    part_varint(&part, (uint64_t)llround(row->live_bytes));
    part_message(&sample, 2, &part);
    gil_put_label(profile, &sample, ENDPOINT, gil_label_name(profile, row->label));
    PyObject *thread = gil_thread_name(row->thread);
    gil_put_label(profile, &sample, THREAD, thread);
    Py_DECREF(thread);
    encoder_message(&profile->out, 2, &sample);
}

/* --- locations and functions ---------------------------------------------------------------------------------- */

static void put_location(struct profile *profile, uint32_t id, uint32_t function, int32_t line)
{
    PART(part, 4 * VARINT_MOST);
    PART(location, 8 * VARINT_MOST);
    part_integer(&part, 1, function);
    part_integer(&part, 2, (uint32_t)line);
    part_integer(&location, 1, id);
    part_message(&location, 4, &part);
    encoder_message(&profile->out, 4, &location);
}

/* Without a system name: where that is the name too, Go's pprof takes it for C++ and cuts <module> away. */
static void put_function(struct profile *profile, uint32_t id, uint32_t name, uint32_t file)
{
    PART(function, 8 * VARINT_MOST);
    part_integer(&function, 1, id);
    part_integer(&function, 2, name);
    part_integer(&function, 4, file);
    encoder_message(&profile->out, 5, &function);
}

static void gil_put_frame(struct profile *profile, uint32_t frame)
{
    uint32_t code = hook_frame_at(frame)->code;
    put_location(profile, frame, code, gil_frame_line(frame));
    if (has(profile->functions, code))
        return;
    add(profile->functions, code);
    uint32_t name = gil_string(&profile->out, &profile->strings, gil_code_function(code));
    put_function(profile, code, name, gil_string(&profile->out, &profile->strings, gil_code_file(code)));
}

static void gil_put_named(struct profile *profile, uint32_t named)
{
    const char *name = named == TRUNCATED ? "(truncated)" : gil_stack_name(named);
    put_location(profile, NAMED_LOCATION + named, NAMED_FUNCTION + named, 0);
    put_function(profile, NAMED_FUNCTION + named, new_string(&profile->out, &profile->strings, name, strlen(name)),
                 EMPTY);
}

static void gil_put_caller(struct profile *profile, uint32_t caller)
{
    PyObject *text = gil_caller_text(caller);
    if (!text) {
        profile->out.failed = true;
        return;
    }
    put_location(profile, CALLER_LOCATION + caller, CALLER_FUNCTION + caller, 0);
    uint32_t name = gil_string(&profile->out, &profile->strings, PyTuple_GET_ITEM(text, 0));
    uint32_t file = gil_string(&profile->out, &profile->strings, PyTuple_GET_ITEM(text, 1));
    put_function(profile, CALLER_FUNCTION + caller, name, file);
}

static void gil_put_locations(struct profile *profile)
{
    for (uint32_t id = 1; id < LOCATIONS; id++) {
        if (!profile->locations[id / 64]) {
            id |= 63;
            continue;
        }
        if (!has(profile->locations, id))
            continue;
        if (id > CALLER_LOCATION)
            gil_put_caller(profile, id - CALLER_LOCATION);
        else if (id >= NAMED_LOCATION)
            gil_put_named(profile, id - NAMED_LOCATION);
        else
            gil_put_frame(profile, id);
        gil_slice_step(&profile->slice);
    }
}

/* --- the whole ------------------------------------------------------------------------------------------------ */

static void put_value_type(struct profile *profile, unsigned field, uint32_t type, uint32_t unit)
{
    PART(part, 4 * VARINT_MOST);
    part_integer(&part, 1, type);
    part_integer(&part, 2, unit);
    encoder_message(&profile->out, field, &part);
}

static void put_head(struct profile *profile)
{
    PART(part, 4 * VARINT_MOST);
    for (uint32_t i = 0; i < FIXED; i++)
        new_string(&profile->out, &profile->strings, fixed[i], strlen(fixed[i]));
    put_value_type(profile, 1, ALLOC_OBJECTS, COUNT);
    put_value_type(profile, 1, ALLOC_SPACE, BYTES);
    put_value_type(profile, 1, INUSE_OBJECTS, COUNT);
    put_value_type(profile, 1, INUSE_SPACE, BYTES);
    put_value_type(profile, 11, SPACE, BYTES);
    part_integer(&part, 12, live.interval);
    part_integer(&part, 14, INUSE_SPACE);
    encoder_put(&profile->out, part.bytes, part.used);
}

static bool gil_put_profile(struct profile *profile, const struct snapshot *snapshot, bool take)
{
    gil_slice_begin(&profile->slice);
    put_head(profile);
    for (uint32_t i = 0; i < snapshot->count; i++) {
        gil_put_sample(profile, &snapshot->rows[i], take);
        gil_slice_step(&profile->slice);
    }
    gil_put_locations(profile);
    if (profile->out.failed && !PyErr_Occurred())
        PyErr_NoMemory();
    return !profile->out.failed && !PyErr_Occurred();
}

static PyObject *gil_taken_bytes(const struct snapshot *snapshot)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(snapshot->count * sizeof(struct taken)));
    struct taken *out = bytes ? (struct taken *)PyBytes_AS_STRING(bytes) : NULL;
    Py_ssize_t used = 0;
    for (uint32_t i = 0; out && i < snapshot->count; i++) {
        struct taken taken = hook_taken(&snapshot->rows[i]);
        if (taken.objects || taken.bytes)
            memcpy(&out[used++], &taken, sizeof taken);
    }
    if (bytes)
        _PyBytes_Resize(&bytes, used * (Py_ssize_t)sizeof(struct taken));
    return bytes;
}

static PyObject *gil_encode(const struct snapshot *snapshot, PyObject *names, bool take)
{
    struct profile *profile = hook_map(sizeof *profile);
    if (!profile)
        return PyErr_NoMemory();
    profile->names = names;
    PyObject *taken = take ? gil_taken_bytes(snapshot) : PyBytes_FromStringAndSize(NULL, 0), *result = NULL;
    if (taken && gil_put_profile(profile, snapshot, take))
        result = gil_encoded(&profile->out);
    encoder_drop(&profile->out);
    hook_unmap(profile, sizeof *profile);
    if (!result) {
        Py_XDECREF(taken);
        return NULL;
    }
    return Py_BuildValue("NNd", result, taken, snapshot->own_bytes);
}

PyObject *gil_profile(PyObject *names, uint32_t own, bool take, bool peak)
{
    ASSERT_GIL();
    struct snapshot snapshot;
    struct wanted wanted = {.own = own, .take = take, .peak = peak};
    if (!gil_snapshot_take(&snapshot, &wanted))
        return NULL;
    PyObject *result = gil_encode(&snapshot, names, take);
    if (!result && take)
        gil_snapshot_give_back(&snapshot);
    gil_snapshot_drop(&snapshot);
    return result;
}

int gil_profile_give_back(const char *bytes, Py_ssize_t size)
{
    ASSERT_GIL();
    struct taken taken;
    if (size % (Py_ssize_t)sizeof taken) {
        PyErr_SetString(PyExc_ValueError, "give_back needs what profile returned");
        return -1;
    }
    bool locked = hook_lock();
    for (; size; bytes += sizeof taken, size -= (Py_ssize_t)sizeof taken) {
        memcpy(&taken, bytes, sizeof taken);
        hook_row_give_back(&taken);
    }
    hook_unlock(locked);
    return 0;
}
