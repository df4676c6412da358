/* What the files of this package share. Each part is a file of its own that adds to the module. */

#ifndef QUOTES_SPEEDUPS_H
#define QUOTES_SPEEDUPS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

/* Names that delivery.c uses. */
enum {
    NAME_PRODUCTS,
    NAME_SLOT,
    NAME_FRAME,
    NAME_FLUSH,
    NAME_SCHEDULE,
    NAME_GATHER,
    DELIVERY_NAMES,
};

/* The module's state: one for each interpreter that imports it. */
typedef struct {
    PyTypeObject *stream_state; /* intake.c */
    PyTypeObject *outbox_state; /* delivery.c */
    PyObject *delivery_names[DELIVERY_NAMES];
} ModuleState;

/* StreamState of quotes/bridge/intake.py (intake.c). An attribute that was not set is NULL; whether
 * one has the type that it should have is checked where it is read. */
typedef struct {
    PyObject_HEAD
    PyObject *field;
    PyObject *seq;
    PyObject *timestamp;
    PyObject *frame;
    PyObject *epoch;
    PyObject *group;
    PyObject *lane;
    char heard;
    char from_key;
} StreamState;

/* A message in the usual layout (usual_frame.c). */
typedef struct {
    int64_t timestamp;     /* Unix milliseconds */
    Py_ssize_t others;     /* where the text after the timestamp begins */
} UsualMessage;

/* Set `found` to the value of an int, or to the nearest 64 bits can hold; return -1 if it is no int. */
int clamped_int64(PyObject *value, int64_t *found);

/* Read a message that begins with `head`; return whether it has the usual layout, each field at
 * most once and a time that is accepted. Touches no object. */
bool usual_message_read(const char *payload, Py_ssize_t length, const char *head,
                        Py_ssize_t head_length, int64_t latest_ms, UsualMessage *found);

/* Return a new reference to the price frame of a message that was read, NULL without memory.
 * `payload` and `segment` are bytes. */
PyObject *usual_message_frame(PyObject *payload, PyObject *segment, const UsualMessage *found);

/* Each adds what one file offers; returns -1 with an exception set when it fails. */
int usual_frame_add(PyObject *module);
int intake_add(PyObject *module);
int redis_replies_add(PyObject *module);
int delivery_add(PyObject *module);
int batches_add(PyObject *module);

#endif
