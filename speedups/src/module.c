/* The module quotes_speedups: what quotes/runtime/speedups.py puts in place of Python. */

#include "speedups.h"

/* The same number is in quotes/runtime/speedups.py. */
#define API_VERSION 1

static int module_exec(PyObject *module) {
    if (PyModule_AddIntConstant(module, "API_VERSION", API_VERSION) < 0) {
        return -1;
    }
    return usual_frame_add(module);
}

static PyModuleDef_Slot SLOTS[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "quotes_speedups",
    .m_doc = "Parts of the way of a tick, in C; the definitions are in Python (quotes/).",
    .m_size = 0,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC PyInit_quotes_speedups(void) {
    return PyModuleDef_Init(&MODULE);
}
