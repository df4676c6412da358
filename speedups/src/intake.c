/* The quick way of messages into the market, as quotes/bridge/intake.py defines it. */

#include "speedups.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

/* ---- StreamState ---------------------------------------------------------------------------- */

static PyMemberDef STATE_MEMBERS[] = {
    {"field", T_OBJECT_EX, offsetof(StreamState, field), 0, NULL},
    {"group", T_OBJECT_EX, offsetof(StreamState, group), 0, NULL},
    {"lane", T_OBJECT_EX, offsetof(StreamState, lane), 0, NULL},
    {"epoch", T_OBJECT_EX, offsetof(StreamState, epoch), 0, NULL},
    {"seq", T_OBJECT_EX, offsetof(StreamState, seq), 0, NULL},
    {"timestamp", T_OBJECT_EX, offsetof(StreamState, timestamp), 0, NULL},
    {"frame", T_OBJECT_EX, offsetof(StreamState, frame), 0, NULL},
    {"heard", T_BOOL, offsetof(StreamState, heard), 0, NULL},
    {"from_key", T_BOOL, offsetof(StreamState, from_key), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static int state_traverse(PyObject *self, visitproc visit, void *arg) {
    StreamState *state = (StreamState *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(state->field);
    Py_VISIT(state->group);
    Py_VISIT(state->lane);
    Py_VISIT(state->epoch);
    Py_VISIT(state->seq);
    Py_VISIT(state->timestamp);
    Py_VISIT(state->frame);
    return 0;
}

static int state_clear(PyObject *self) {
    StreamState *state = (StreamState *)self;
    Py_CLEAR(state->field);
    Py_CLEAR(state->group);
    Py_CLEAR(state->lane);
    Py_CLEAR(state->epoch);
    Py_CLEAR(state->seq);
    Py_CLEAR(state->timestamp);
    Py_CLEAR(state->frame);
    return 0;
}

static void state_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    state_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot STATE_SLOTS[] = {
    {Py_tp_doc, "What changes in a stream with each tick; as StreamState in quotes/bridge/intake.py."},
    {Py_tp_members, STATE_MEMBERS},
    {Py_tp_traverse, state_traverse},
    {Py_tp_clear, state_clear},
    {Py_tp_dealloc, state_dealloc},
    {0, NULL},
};

static PyType_Spec STATE_SPEC = {
    .name = "quotes_speedups.StreamState",
    .basicsize = sizeof(StreamState),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = STATE_SLOTS,
};

/* ---- take_usual ----------------------------------------------------------------------------- */

#define MARK "\t \t" /* as in quotes/store/inbox.py */
#define MARK_LENGTH 3

typedef enum { FAILED = -1, LEFT, PASSED, APPENDED, REPEATED } Outcome;

/* The arguments of a call. */
typedef struct {
    PyTypeObject *stream_type;
    PyObject *layouts;
    int64_t latest_ms;
    PyObject *received;
    bool live;
    PyObject *ticks;
    /* The timestamp of the previous tick as an object: the next one often has the same. */
    int64_t when;
    PyObject *when_object;
} Call;

/* Set `found` to the value of an int of 64 bits; return false for anything else. */
static bool is_int64(PyObject *value, int64_t *found) {
    if (value == NULL || !PyLong_CheckExact(value)) {
        return false;
    }
    int overflow;
    *found = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow == 0;
}

/* Return a new reference to a timestamp, NULL without memory. */
static PyObject *timestamp_object(Call *call, int64_t timestamp) {
    if (call->when_object == NULL || call->when != timestamp) {
        PyObject *made = PyLong_FromLongLong(timestamp);
        if (made == NULL) {
            return NULL;
        }
        Py_XSETREF(call->when_object, made);
        call->when = timestamp;
    }
    return Py_NewRef(call->when_object);
}

/* What a tick becomes: new objects, of which `tick` holds `row`. */
typedef struct {
    PyObject *timestamp;
    PyObject *frame;
    PyObject *row;
    PyObject *tick;
} Made;

static void made_clear(Made *made) {
    Py_CLEAR(made->timestamp);
    Py_CLEAR(made->frame);
    Py_CLEAR(made->row);
    Py_CLEAR(made->tick);
}

/* Return whether all is made; without memory, nothing is. */
static bool make(Call *call, PyObject *payload, PyObject *segment, const UsualMessage *found,
                 Made *made) {
    made->timestamp = timestamp_object(call, found->timestamp);
    made->frame = made->timestamp == NULL ? NULL : usual_message_frame(payload, segment, found);
    made->row = made->frame == NULL ? NULL : PyTuple_New(7);
    made->tick = made->row == NULL ? NULL : PyTuple_New(2);
    if (made->tick == NULL) {
        made_clear(made);
        return false;
    }
    return true;
}

/* Append the tick, of the number `seq`; return -1 without memory. */
static int append(Call *call, StreamState *stream, PyObject *seq, const Made *made) {
    PyTuple_SET_ITEM(made->row, 0, Py_NewRef(stream->field));
    PyTuple_SET_ITEM(made->row, 1, Py_NewRef(stream->epoch));
    PyTuple_SET_ITEM(made->row, 2, Py_NewRef(seq));
    PyTuple_SET_ITEM(made->row, 3, Py_NewRef(made->timestamp));
    PyTuple_SET_ITEM(made->row, 4, Py_NewRef(made->frame));
    PyTuple_SET_ITEM(made->row, 5, Py_NewRef(call->live ? Py_True : Py_False));
    PyTuple_SET_ITEM(made->row, 6, Py_NewRef(call->received));
    PyTuple_SET_ITEM(made->tick, 0, Py_NewRef((PyObject *)stream));
    PyTuple_SET_ITEM(made->tick, 1, Py_NewRef(made->row));
    return PyList_Append(call->ticks, made->tick);
}

static bool is_same(PyObject *frame, PyObject *other) {
    Py_ssize_t length = PyBytes_GET_SIZE(frame);
    return PyBytes_GET_SIZE(other) == length &&
           memcmp(PyBytes_AS_STRING(frame), PyBytes_AS_STRING(other), (size_t)length) == 0;
}

/* Decide on a tick. Nothing here can start a collection of garbage, which may run any code: what
 * was checked stays as it is. */
static Outcome decide(Call *call, StreamState *stream, int64_t timestamp, const Made *made) {
    int64_t last, last_seq;
    if (stream->field == NULL || stream->epoch == NULL || stream->frame == NULL ||
        !PyBytes_CheckExact(stream->frame) || !is_int64(stream->timestamp, &last) ||
        !is_int64(stream->seq, &last_seq)) {
        return LEFT;
    }
    if (!call->live) {
        return append(call, stream, stream->seq, made) < 0 ? FAILED : APPENDED;
    }
    if (timestamp < last || last_seq == INT64_MAX) {
        return LEFT;
    }
    if (stream->from_key && is_same(made->frame, stream->frame)) {
        stream->heard = 1;
        stream->from_key = 0;
        return REPEATED;
    }
    PyObject *seq = PyLong_FromLongLong(last_seq + 1);
    if (seq == NULL) {
        return FAILED;
    }
    if (append(call, stream, seq, made) < 0) {
        Py_DECREF(seq);
        return FAILED;
    }
    stream->heard = 1;
    stream->from_key = 0;
    Py_SETREF(stream->seq, seq);
    Py_SETREF(stream->timestamp, Py_NewRef(made->timestamp));
    Py_SETREF(stream->frame, Py_NewRef(made->frame));
    return APPENDED;
}

/* Decide on a message, to which the caller holds a reference. */
static Outcome take(Call *call, PyObject *message) {
    if (!PyTuple_CheckExact(message) || PyTuple_GET_SIZE(message) != 2) {
        return LEFT;
    }
    PyObject *channel = PyTuple_GET_ITEM(message, 0), *payload = PyTuple_GET_ITEM(message, 1);
    if (!PyBytes_CheckExact(channel) || !PyBytes_CheckExact(payload)) {
        return LEFT;
    }
    Py_ssize_t length = PyBytes_GET_SIZE(payload);
    if (length >= MARK_LENGTH && memcmp(PyBytes_AS_STRING(payload) + length - MARK_LENGTH, MARK,
                                        MARK_LENGTH) == 0) {
        return PASSED;
    }
    PyObject *layout = PyDict_GetItemWithError(call->layouts, channel);
    if (layout == NULL) {
        return PyErr_Occurred() ? FAILED : LEFT;
    }
    if (!PyTuple_CheckExact(layout) || PyTuple_GET_SIZE(layout) != 3) {
        return LEFT;
    }
    PyObject *stream = PyTuple_GET_ITEM(layout, 0);
    PyObject *head = PyTuple_GET_ITEM(layout, 1), *segment = PyTuple_GET_ITEM(layout, 2);
    if (!PyObject_TypeCheck(stream, call->stream_type) || !PyBytes_CheckExact(head) ||
        !PyBytes_CheckExact(segment)) {
        return LEFT;
    }
    UsualMessage found;
    if (!usual_message_read(PyBytes_AS_STRING(payload), length, PyBytes_AS_STRING(head),
                            PyBytes_GET_SIZE(head), call->latest_ms, &found)) {
        return LEFT;
    }
    Outcome outcome = FAILED;
    Made made;
    Py_INCREF(layout);
    if (make(call, payload, segment, &found, &made)) {
        outcome = decide(call, (StreamState *)stream, found.timestamp, &made);
        made_clear(&made);
    }
    Py_DECREF(layout);
    return outcome;
}

PyDoc_STRVAR(take_usual_doc,
             "take_usual(messages, start, layouts, latest_ms, received, live, ticks, /)\n--\n\n"
             "Decide on messages up to the first that is not usual.\n\n"
             "As `take_usual` in quotes/bridge/intake.py; nor does it decide on what has another\n"
             "type than stands there.");

static PyObject *take_usual(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 7) {
        return PyErr_Format(PyExc_TypeError, "take_usual takes 7 arguments, got %zd", count);
    }
    PyObject *messages = args[0], *layouts = args[2], *ticks = args[6];
    if (!PyList_CheckExact(messages) || !PyDict_CheckExact(layouts) || !PyList_CheckExact(ticks) ||
        !PyLong_CheckExact(args[1]) || !PyLong_CheckExact(args[3]) || !PyLong_CheckExact(args[4]) ||
        !PyBool_Check(args[5])) {
        PyErr_SetString(PyExc_TypeError,
                        "take_usual takes a list, an int, a dict, two ints, a bool and a list");
        return NULL;
    }
    ModuleState *state = PyModule_GetState(module);
    Py_ssize_t index = PyLong_AsSsize_t(args[1]);
    if (index < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "start must not be negative");
        }
        return NULL;
    }
    Call call = {
        .stream_type = state->stream_state,
        .layouts = layouts,
        .received = args[4],
        .live = args[5] == Py_True,
        .ticks = ticks,
    };
    if (clamped_int64(args[3], &call.latest_ms) < 0) {
        return NULL;
    }
    Py_ssize_t counts[] = {[LEFT] = 0, [PASSED] = 0, [APPENDED] = 0, [REPEATED] = 0};
    for (; index < PyList_GET_SIZE(messages); index++) {
        PyObject *message = Py_NewRef(PyList_GET_ITEM(messages, index));
        Outcome outcome = take(&call, message);
        Py_DECREF(message);
        if (outcome == FAILED) {
            Py_XDECREF(call.when_object);
            return NULL;
        }
        if (outcome == LEFT) {
            break;
        }
        counts[outcome]++;
    }
    Py_XDECREF(call.when_object);
    return Py_BuildValue("nnnn", index, counts[PASSED], counts[APPENDED], counts[REPEATED]);
}

static PyMethodDef METHODS[] = {
    {"take_usual", (PyCFunction)(void (*)(void))take_usual, METH_FASTCALL, take_usual_doc},
    {NULL, NULL, 0, NULL},
};

int intake_add(PyObject *module) {
    ModuleState *state = PyModule_GetState(module);
    PyObject *type = PyType_FromModuleAndSpec(module, &STATE_SPEC, NULL);
    if (type == NULL) {
        return -1;
    }
    state->stream_state = (PyTypeObject *)type;
    if (PyModule_AddType(module, state->stream_state) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, METHODS);
}
