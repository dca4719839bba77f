/* Writes the protobuf wire format (https://protobuf.dev/programming-guides/encoding/) into a mapping of our own.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook; the others call nothing of Python's.
 */
#ifndef HEAPWATCH_ENCODER_H
#define HEAPWATCH_ENCODER_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/* A message under construction, in storage of the caller's that is large enough. */
struct part {
    unsigned char *bytes;
    uint32_t used;
};
#define VARINT_MOST 10
#define PART(name, size)                                                                                     \
    unsigned char name##_bytes[size];                                                                        \
    struct part name = {name##_bytes, 0}

void part_varint(struct part *part, uint64_t value);
void part_integer(struct part *part, unsigned field, uint64_t value);
void part_message(struct part *part, unsigned field, const struct part *message);

struct encoder {
    char *bytes; /* own mapping */
    size_t used, room;
    bool failed; /* there was no memory; what was put since then is lost */
};

void encoder_put(struct encoder *encoder, const void *bytes, size_t size);
void encoder_message(struct encoder *encoder, unsigned field, const struct part *message);
void encoder_drop(struct encoder *encoder);
PyObject *gil_encoded(struct encoder *encoder); /* new reference to a buffer that takes the mapping over */
int gil_encoder_open(PyObject *module);         /* prepares its type; -1 with an exception set */

/* The string table of a profile. Strings are known by their address as long as there is room. */
#define STRINGS_ORDER 12
#define STRING_FIELD 6
struct strings {
    uint32_t count, known;
    struct {
        const PyObject *text;
        uint32_t id;
    } slots[1 << STRINGS_ORDER];
};

uint32_t new_string(struct encoder *encoder, struct strings *strings, const char *text, size_t size);
uint32_t gil_string(struct encoder *encoder, struct strings *strings, PyObject *text); /* which must stay alive */

#endif
