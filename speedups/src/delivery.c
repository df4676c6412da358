/* The way of a price to the clients of a web process: `hand_over` as quotes/layer/groups.py defines
 * it, and `OutboxState` as quotes/websocket/delivery/outbox_state.py does. */

#include "speedups.h"

#include <stddef.h>
#include <structmember.h>

/* ---- OutboxState ---------------------------------------------------------------------------- */

/* An attribute that was not set is NULL; whether one has the type that it should have is checked
 * where it is used. */
typedef struct {
    PyObject_HEAD
    PyObject *framing;
    PyObject *frames;
    PyObject *due;
    PyObject *scheduler;
    Py_ssize_t size;
    Py_ssize_t high_water;
    Py_ssize_t interval_ms;
    char batch;
    char conflating;
    char is_due;
} OutboxState;

static PyMemberDef OUTBOX_MEMBERS[] = {
    {"framing", T_OBJECT_EX, offsetof(OutboxState, framing), 0, NULL},
    {"frames", T_OBJECT_EX, offsetof(OutboxState, frames), 0, NULL},
    {"due", T_OBJECT_EX, offsetof(OutboxState, due), 0, NULL},
    {"scheduler", T_OBJECT_EX, offsetof(OutboxState, scheduler), 0, NULL},
    {"size", T_PYSSIZET, offsetof(OutboxState, size), 0, NULL},
    {"high_water", T_PYSSIZET, offsetof(OutboxState, high_water), 0, NULL},
    {"interval_ms", T_PYSSIZET, offsetof(OutboxState, interval_ms), 0, NULL},
    {"batch", T_BOOL, offsetof(OutboxState, batch), 0, NULL},
    {"conflating", T_BOOL, offsetof(OutboxState, conflating), 0, NULL},
    {"is_due", T_BOOL, offsetof(OutboxState, is_due), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static int outbox_traverse(PyObject *self, visitproc visit, void *arg) {
    OutboxState *state = (OutboxState *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(state->framing);
    Py_VISIT(state->frames);
    Py_VISIT(state->due);
    Py_VISIT(state->scheduler);
    return 0;
}

static int outbox_clear(PyObject *self) {
    OutboxState *state = (OutboxState *)self;
    Py_CLEAR(state->framing);
    Py_CLEAR(state->frames);
    Py_CLEAR(state->due);
    Py_CLEAR(state->scheduler);
    return 0;
}

static void outbox_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    outbox_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The names of the attributes and methods that are used here, as objects. */
static int names_made(ModuleState *state) {
    const char *texts[DELIVERY_NAMES] = {
        [NAME_PRODUCTS] = "products", [NAME_SLOT] = "slot",         [NAME_FRAME] = "frame",
        [NAME_FLUSH] = "flush",       [NAME_SCHEDULE] = "schedule", [NAME_GATHER] = "gather_price",
    };
    for (int i = 0; i < DELIVERY_NAMES; i++) {
        state->delivery_names[i] = PyUnicode_InternFromString(texts[i]);
        if (state->delivery_names[i] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* Return a new reference to the frame of a message: the one that is kept, or one made now. */
static PyObject *frame_of(ModuleState *module, PyObject *framing, PyObject *message) {
    PyObject *products = PyObject_GetAttr(message, module->delivery_names[NAME_PRODUCTS]);
    if (products == NULL) {
        return NULL;
    }
    PyObject *found = NULL;
    if (PyDict_Check(products)) {
        PyObject *slot = PyObject_GetAttr(framing, module->delivery_names[NAME_SLOT]);
        if (slot == NULL) {
            Py_DECREF(products);
            return NULL;
        }
        found = Py_XNewRef(PyDict_GetItemWithError(products, slot));
        Py_DECREF(slot);
    }
    Py_DECREF(products);
    if (found != NULL) {
        if (found != Py_None) {
            return found;
        }
        Py_DECREF(found);
    } else if (PyErr_Occurred()) {
        return NULL;
    }
    return PyObject_CallMethodOneArg(framing, module->delivery_names[NAME_FRAME], message);
}

/* Call a method without arguments and drop what it returns; return -1 if it raises. */
static int call(PyObject *object, PyObject *name) {
    PyObject *returned = PyObject_CallMethodNoArgs(object, name);
    if (returned == NULL) {
        return -1;
    }
    Py_DECREF(returned);
    return 0;
}

/* Note that the outbox is due; the first one that is has all of them flushed. */
static int be_due(ModuleState *module, OutboxState *state) {
    if (state->due == NULL || !PyList_CheckExact(state->due) || state->scheduler == NULL) {
        PyErr_SetString(PyExc_TypeError, "an outbox needs a list `due` and a scheduler");
        return -1;
    }
    state->is_due = 1;
    if (PyList_Append(state->due, (PyObject *)state) < 0) {
        return -1;
    }
    if (PyList_GET_SIZE(state->due) > 1) {
        return 0;
    }
    PyObject *scheduler = Py_NewRef(state->scheduler);
    int done = call(scheduler, module->delivery_names[NAME_SCHEDULE]);
    Py_DECREF(scheduler);
    return done;
}

static PyObject *outbox_price(PyObject *self, PyTypeObject *defining, PyObject *const *args,
                              Py_ssize_t count, PyObject *keywords) {
    if (count != 1 || (keywords != NULL && PyTuple_GET_SIZE(keywords) > 0)) {
        PyErr_SetString(PyExc_TypeError, "price takes a message");
        return NULL;
    }
    ModuleState *module = PyType_GetModuleState(defining);
    OutboxState *state = (OutboxState *)self;
    if (state->conflating || state->interval_ms != 0 || state->batch) {
        return PyObject_CallMethodOneArg(self, module->delivery_names[NAME_GATHER], args[0]);
    }
    if (state->framing == NULL) {
        PyErr_SetString(PyExc_AttributeError, "framing");
        return NULL;
    }
    PyObject *framing = Py_NewRef(state->framing);
    PyObject *framed = frame_of(module, framing, args[0]);
    Py_DECREF(framing);
    if (framed == NULL) {
        return NULL;
    }
    Py_ssize_t size = PyObject_Size(framed);
    if (size < 0) {
        Py_DECREF(framed);
        return NULL;
    }
    /* Making the frame may have run any code: only now the list is looked at. */
    if (state->frames == NULL || !PyList_CheckExact(state->frames)) {
        Py_DECREF(framed);
        PyErr_SetString(PyExc_TypeError, "an outbox needs a list `frames`");
        return NULL;
    }
    int done = PyList_Append(state->frames, framed);
    Py_DECREF(framed);
    if (done < 0) {
        return NULL;
    }
    state->size = size > PY_SSIZE_T_MAX - state->size ? PY_SSIZE_T_MAX : state->size + size;
    if (!state->is_due && be_due(module, state) < 0) {
        return NULL;
    }
    if (state->size > state->high_water && call(self, module->delivery_names[NAME_FLUSH]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef OUTBOX_METHODS[] = {
    {"price", (PyCFunction)(void (*)(void))outbox_price,
     METH_METHOD | METH_FASTCALL | METH_KEYWORDS,
     "price($self, message, /)\n--\n\nAs OutboxState.price in "
     "quotes/websocket/delivery/outbox_state.py."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot OUTBOX_SLOTS[] = {
    {Py_tp_doc, "What changes in an outbox with each price; as OutboxState in "
                "quotes/websocket/delivery/outbox_state.py."},
    {Py_tp_members, OUTBOX_MEMBERS},
    {Py_tp_methods, OUTBOX_METHODS},
    {Py_tp_traverse, outbox_traverse},
    {Py_tp_clear, outbox_clear},
    {Py_tp_dealloc, outbox_dealloc},
    {0, NULL},
};

static PyType_Spec OUTBOX_SPEC = {
    .name = "quotes_speedups.OutboxState",
    .basicsize = sizeof(OutboxState),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = OUTBOX_SLOTS,
};

/* ---- hand_over ------------------------------------------------------------------------------ */

/* Return a new reference to the error that is set, and clear it. */
static PyObject *taken_error(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* Append the receiver and the error that is set, which is cleared; return -1 if that fails. */
static int note_failure(PyObject *failed, PyObject *receiver) {
    PyObject *error = taken_error();
    PyObject *pair = error == NULL ? NULL : PyTuple_Pack(2, receiver, error);
    Py_XDECREF(error);
    if (pair == NULL) {
        return -1;
    }
    int done = PyList_Append(failed, pair);
    Py_DECREF(pair);
    return done;
}

PyDoc_STRVAR(hand_over_doc,
             "hand_over(receivers, message, /)\n--\n\n"
             "Call each receiver with a message; return those that failed, and their errors.\n\n"
             "As `hand_over` in quotes/layer/groups.py.");

static PyObject *hand_over(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count != 2 || !PyTuple_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "hand_over takes a tuple of receivers and a message");
        return NULL;
    }
    PyObject *failed = PyList_New(0);
    if (failed == NULL) {
        return NULL;
    }
    PyObject *receivers = args[0]; /* the caller holds it, and it never changes */
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(receivers); i++) {
        PyObject *receiver = PyTuple_GET_ITEM(receivers, i);
        PyObject *returned = PyObject_CallOneArg(receiver, args[1]);
        if (returned != NULL) {
            Py_DECREF(returned);
        } else if (!PyErr_ExceptionMatches(PyExc_Exception) || note_failure(failed, receiver) < 0) {
            Py_DECREF(failed);
            return NULL;
        }
    }
    return failed;
}

static PyMethodDef METHODS[] = {
    {"hand_over", (PyCFunction)(void (*)(void))hand_over, METH_FASTCALL, hand_over_doc},
    {NULL, NULL, 0, NULL},
};

int delivery_add(PyObject *module) {
    ModuleState *state = PyModule_GetState(module);
    if (names_made(state) < 0) {
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &OUTBOX_SPEC, NULL);
    if (type == NULL) {
        return -1;
    }
    state->outbox_state = (PyTypeObject *)type;
    if (PyModule_AddType(module, state->outbox_state) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, METHODS);
}
