/* The module quotes_speedups: what quotes/runtime/speedups.py puts in place of Python. */

#include "speedups.h"

/* The same number is in quotes/runtime/speedups.py. */
#define API_VERSION 7

static int module_exec(PyObject *module) {
    if (PyModule_AddIntConstant(module, "API_VERSION", API_VERSION) < 0 ||
        usual_frame_add(module) < 0 || intake_add(module) < 0 ||
        redis_replies_add(module) < 0 || batches_add(module) < 0 || delivery_add(module) < 0) {
        return -1;
    }
    return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    ModuleState *state = PyModule_GetState(module);
    Py_VISIT(state->stream_state);
    Py_VISIT(state->outbox_state);
    return 0;
}

static int module_clear(PyObject *module) {
    ModuleState *state = PyModule_GetState(module);
    Py_CLEAR(state->stream_state);
    Py_CLEAR(state->outbox_state);
    for (int i = 0; i < DELIVERY_NAMES; i++) {
        Py_CLEAR(state->delivery_names[i]);
    }
    return 0;
}

static void module_free(void *module) {
    module_clear(module);
}

static PyModuleDef_Slot SLOTS[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "quotes_speedups",
    .m_doc = "Parts of the way of a tick, in C; the definitions are in Python (quotes/).",
    .m_size = sizeof(ModuleState),
    .m_slots = SLOTS,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit_quotes_speedups(void) {
    return PyModuleDef_Init(&MODULE);
}
