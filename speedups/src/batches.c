/* Batches of ticks made ready for Redis, as `pack_batch` in quotes/bridge/batches.py defines it. */

#include "speedups.h"

#include <string.h>

#define MAX_LANES 4096
#define ROW_LENGTH 7
#define MAX_NUMBER 9     /* bytes of an int in MessagePack */
#define MAX_HEADER 5     /* bytes before a text, or before entries */
#define MAX_DECIMALS 20  /* digits of an int of 64 bits, with its sign */

/* Where a row has what (quotes/store/tick_log.py). */
enum { KEY, EPOCH, SEQ, TIMESTAMP, FRAME, SHOWN, RECEIVED };

/* A lane's message while it is measured, then written. */
typedef struct {
    Py_ssize_t count;
    Py_ssize_t size; /* at most */
    unsigned char *start;
    unsigned char *at;
} Lane;

/* An int from -2**63 to 2**64 - 1: what MessagePack can hold. */
typedef struct {
    bool negative;
    uint64_t bits;
} Number;

typedef struct {
    const char *start;
    Py_ssize_t length;
} Piece;

/* ---- reading objects ------------------------------------------------------------------------ */

static int read_number(PyObject *value, Number *number) {
    if (value == NULL || !PyLong_CheckExact(value)) {
        PyErr_SetString(PyExc_TypeError, "a number of a row must be an int");
        return -1;
    }
    int overflow;
    long long found = PyLong_AsLongLongAndOverflow(value, &overflow);
    number->negative = found < 0;
    number->bits = (uint64_t)found;
    if (overflow < 0) {
        PyErr_SetString(PyExc_OverflowError, "a number of a row is below 64 bits");
        return -1;
    }
    if (overflow > 0) {
        number->negative = false;
        number->bits = PyLong_AsUnsignedLongLong(value);
        if (number->bits == UINT64_MAX && PyErr_Occurred()) {
            return -1;
        }
    }
    return 0;
}

static int read_text(PyObject *value, Piece *text) {
    if (value == NULL || !PyUnicode_CheckExact(value)) {
        PyErr_SetString(PyExc_TypeError, "a name must be text");
        return -1;
    }
    text->start = PyUnicode_AsUTF8AndSize(value, &text->length);
    return text->start == NULL ? -1 : 0;
}

/* ---- MessagePack ---------------------------------------------------------------------------- */

static inline unsigned char *put(unsigned char *at, uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; i--) {
        at[i] = (unsigned char)value;
        value >>= 8;
    }
    return at + bytes;
}

static inline unsigned char *put_number(unsigned char *at, Number number) {
    uint64_t bits = number.bits;
    if (number.negative) {
        int64_t value = (int64_t)bits;
        if (value >= -32) {
            return put(at, bits, 1);
        }
        int bytes = value >= INT8_MIN ? 1 : value >= INT16_MIN ? 2 : value >= INT32_MIN ? 4 : 8;
        *at++ = bytes == 1 ? 0xd0 : bytes == 2 ? 0xd1 : bytes == 4 ? 0xd2 : 0xd3;
        return put(at, bits, bytes);
    }
    if (bits < 128) {
        return put(at, bits, 1);
    }
    int bytes = bits <= UINT8_MAX ? 1 : bits <= UINT16_MAX ? 2 : bits <= UINT32_MAX ? 4 : 8;
    *at++ = bytes == 1 ? 0xcc : bytes == 2 ? 0xcd : bytes == 4 ? 0xce : 0xcf;
    return put(at, bits, bytes);
}

static inline unsigned char *put_piece(unsigned char *at, const char *start, Py_ssize_t length) {
    memcpy(at, start, (size_t)length);
    return at + length;
}

static unsigned char *put_text(unsigned char *at, const char *start, Py_ssize_t length) {
    if (length < 32) {
        *at++ = (unsigned char)(0xa0 | length);
    } else {
        int bytes = length <= UINT8_MAX ? 1 : length <= UINT16_MAX ? 2 : 4;
        *at++ = bytes == 1 ? 0xd9 : bytes == 2 ? 0xda : 0xdb;
        at = put(at, (uint64_t)length, bytes);
    }
    return put_piece(at, start, length);
}

static unsigned char *put_bytes(unsigned char *at, const char *start, Py_ssize_t length) {
    int bytes = length <= UINT8_MAX ? 1 : length <= UINT16_MAX ? 2 : 4;
    *at++ = bytes == 1 ? 0xc4 : bytes == 2 ? 0xc5 : 0xc6;
    return put_piece(put(at, (uint64_t)length, bytes), start, length);
}

static unsigned char *put_count(unsigned char *at, Py_ssize_t count) {
    if (count < 16) {
        return put(at, (uint64_t)(0x90 | count), 1);
    }
    int bytes = count <= UINT16_MAX ? 2 : 4;
    *at++ = bytes == 2 ? 0xdc : 0xdd;
    return put(at, (uint64_t)count, bytes);
}

/* ---- entries -------------------------------------------------------------------------------- */

#define FORGET "quote.forget"

/* Put the entry of a stream that starts over: its group, and the message {type, key}. */
static int put_forget(Lane *lane, const StreamState *stream) {
    Piece group, field;
    if (read_text(stream->group, &group) < 0 || read_text(stream->field, &field) < 0) {
        return -1;
    }
    unsigned char *at = put_count(lane->at, 2);
    at = put_text(at, group.start, group.length);
    *at++ = 0x82;
    at = put_text(at, "type", 4);
    at = put_text(at, FORGET, sizeof(FORGET) - 1);
    at = put_text(at, "key", 3);
    lane->at = put_text(at, field.start, field.length);
    return 0;
}

static int put_row(Lane *lane, PyObject *row) {
    Piece key;
    Number epoch, seq, timestamp, received;
    if (read_text(PyTuple_GET_ITEM(row, KEY), &key) < 0 ||
        read_number(PyTuple_GET_ITEM(row, EPOCH), &epoch) < 0 ||
        read_number(PyTuple_GET_ITEM(row, SEQ), &seq) < 0 ||
        read_number(PyTuple_GET_ITEM(row, TIMESTAMP), &timestamp) < 0 ||
        read_number(PyTuple_GET_ITEM(row, RECEIVED), &received) < 0) {
        return -1;
    }
    PyObject *frame = PyTuple_GET_ITEM(row, FRAME);
    unsigned char *at = put_count(lane->at, ROW_LENGTH);
    at = put_text(at, key.start, key.length);
    at = put_number(at, epoch);
    at = put_number(at, seq);
    at = put_number(at, timestamp);
    at = put_bytes(at, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame));
    *at++ = PyTuple_GET_ITEM(row, SHOWN) == Py_True ? 0xc3 : 0xc2;
    lane->at = put_number(at, received);
    return 0;
}

/* Return at most how many bytes an entry takes, -1 with an error if it cannot be one. */
static Py_ssize_t entry_size(const StreamState *stream, PyObject *row) {
    Piece first, second;
    Py_ssize_t fixed = 64 + 4 * MAX_NUMBER;
    if (row == Py_None) {
        if (read_text(stream->group, &first) < 0 || read_text(stream->field, &second) < 0) {
            return -1;
        }
    } else {
        PyObject *frame = PyTuple_GET_ITEM(row, FRAME);
        if (!PyBytes_CheckExact(frame) || !PyBool_Check(PyTuple_GET_ITEM(row, SHOWN))) {
            PyErr_SetString(PyExc_TypeError, "a row's frame must be bytes, and shown a bool");
            return -1;
        }
        if (read_text(PyTuple_GET_ITEM(row, KEY), &first) < 0) {
            return -1;
        }
        second.length = PyBytes_GET_SIZE(frame);
    }
    if (first.length > INT32_MAX || second.length > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a text is too long for a message");
        return -1;
    }
    return fixed + first.length + second.length;
}

/* ---- records of latest prices --------------------------------------------------------------- */

/* Write an int in decimal digits before `end`; return where it begins. */
static char *decimal_before(char *end, Number number) {
    uint64_t rest = number.negative ? 0 - number.bits : number.bits;
    do {
        *--end = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number.negative) {
        *--end = '-';
    }
    return end;
}

/* Return the record of a row as RECORD_FORMAT makes it: epoch, seq, timestamp and frame. */
static PyObject *record_of(PyObject *row) {
    char digits[3 * (MAX_DECIMALS + 1)];
    char *at = digits + sizeof(digits), *end = at;
    for (int field = TIMESTAMP; field >= EPOCH; field--) {
        Number number;
        if (read_number(PyTuple_GET_ITEM(row, field), &number) < 0) {
            return NULL;
        }
        *--at = ' ';
        at = decimal_before(at, number);
    }
    PyObject *frame = PyTuple_GET_ITEM(row, FRAME);
    Py_ssize_t length = PyBytes_GET_SIZE(frame); /* not more than entry_size lets pass */
    PyObject *record = PyBytes_FromStringAndSize(NULL, (end - at) + length);
    if (record != NULL) {
        char *to = PyBytes_AS_STRING(record);
        memcpy(to, at, (size_t)(end - at));
        memcpy(to + (end - at), PyBytes_AS_STRING(frame), (size_t)length);
    }
    return record;
}

/* Return a list of the keys and records of the newest rows, in turn. */
static PyObject *records_of(PyObject *newest) {
    PyObject *records = PyList_New(2 * PyDict_GET_SIZE(newest));
    if (records == NULL) {
        return NULL;
    }
    PyObject *key, *row;
    Py_ssize_t position = 0, index = 0;
    while (PyDict_Next(newest, &position, &key, &row)) {
        PyObject *record = record_of(row);
        if (record == NULL) {
            Py_DECREF(records);
            return NULL;
        }
        PyList_SET_ITEM(records, index++, Py_NewRef(key));
        PyList_SET_ITEM(records, index++, record);
    }
    return records;
}

/* ---- pack_batch ----------------------------------------------------------------------------- */

typedef struct {
    PyTypeObject *stream_type;
    Lane *lanes;
    long lane_count;
    Py_ssize_t size; /* of all messages, at most */
    PyObject *newest;    /* instrument key -> row */
    PyObject *forgotten; /* instrument key -> None */
    Py_ssize_t ticks;
    Py_ssize_t shown;
} Batch;

/* Return the lane of an item of the batch, NULL with an error if it is not one. */
static Lane *lane_of(const Batch *batch, PyObject *item) {
    if (!PyTuple_CheckExact(item) || PyTuple_GET_SIZE(item) != 2 ||
        !PyObject_TypeCheck(PyTuple_GET_ITEM(item, 0), batch->stream_type)) {
        PyErr_SetString(PyExc_TypeError, "a tick must be a stream and a row");
        return NULL;
    }
    PyObject *row = PyTuple_GET_ITEM(item, 1);
    if (row != Py_None && (!PyTuple_CheckExact(row) || PyTuple_GET_SIZE(row) != ROW_LENGTH)) {
        PyErr_SetString(PyExc_TypeError, "a row must be a tuple of seven, or None");
        return NULL;
    }
    PyObject *number = ((StreamState *)PyTuple_GET_ITEM(item, 0))->lane;
    if (number == NULL || !PyLong_CheckExact(number)) {
        PyErr_SetString(PyExc_TypeError, "a lane must be an int");
        return NULL;
    }
    int overflow;
    long lane = PyLong_AsLongAndOverflow(number, &overflow);
    if (overflow != 0 || lane < 0 || lane >= batch->lane_count) {
        PyErr_SetString(PyExc_IndexError, "there is no such lane");
        return NULL;
    }
    return &batch->lanes[lane];
}

/* Measure an item, and note what becomes of its latest price. */
static int measure(Batch *batch, PyObject *item) {
    Lane *lane = lane_of(batch, item);
    if (lane == NULL) {
        return -1;
    }
    StreamState *stream = (StreamState *)PyTuple_GET_ITEM(item, 0);
    PyObject *row = PyTuple_GET_ITEM(item, 1);
    Py_ssize_t size = entry_size(stream, row);
    if (size < 0) {
        return -1;
    }
    if (batch->size > PY_SSIZE_T_MAX - size || lane->count == INT32_MAX) {
        PyErr_NoMemory();
        return -1;
    }
    batch->size += size;
    lane->size += size;
    lane->count++;
    if (row == Py_None) {
        batch->ticks--;
        int found = PyDict_Contains(batch->newest, stream->field);
        if (found < 0 || (found > 0 && PyDict_DelItem(batch->newest, stream->field) < 0)) {
            return -1;
        }
        return PyDict_SetItem(batch->forgotten, stream->field, Py_None);
    }
    if (PyTuple_GET_ITEM(row, SHOWN) == Py_True) {
        return PyDict_SetItem(batch->newest, PyTuple_GET_ITEM(row, KEY), row);
    }
    batch->shown--;
    return 0;
}

static int write_item(Batch *batch, PyObject *item) {
    Lane *lane = lane_of(batch, item);
    if (lane == NULL) {
        return -1;
    }
    PyObject *row = PyTuple_GET_ITEM(item, 1);
    return row == Py_None ? put_forget(lane, (StreamState *)PyTuple_GET_ITEM(item, 0))
                          : put_row(lane, row);
}

/* Give each lane its part of the memory for all messages. */
static void begin_messages(Batch *batch, unsigned char *memory) {
    for (long i = 0; i < batch->lane_count; i++) {
        Lane *lane = &batch->lanes[i];
        lane->start = lane->at = memory;
        if (lane->count > 0) {
            lane->at = put_count(lane->at, lane->count);
            memory += MAX_HEADER + lane->size;
        }
    }
}

static PyObject *messages_of(const Batch *batch) {
    PyObject *messages = PyList_New(batch->lane_count);
    for (long i = 0; messages != NULL && i < batch->lane_count; i++) {
        const Lane *lane = &batch->lanes[i];
        PyObject *message =
            PyBytes_FromStringAndSize((const char *)lane->start, lane->at - lane->start);
        if (message == NULL) {
            Py_CLEAR(messages);
        } else {
            PyList_SET_ITEM(messages, i, message);
        }
    }
    return messages;
}

/* Return the messages of all lanes; the batch is measured. */
static PyObject *written(Batch *batch, PyObject *ticks) {
    unsigned char *memory = PyMem_Malloc((size_t)batch->size);
    if (memory == NULL) {
        return PyErr_NoMemory();
    }
    begin_messages(batch, memory);
    PyObject *messages = NULL;
    Py_ssize_t done = 0, count = PyList_GET_SIZE(ticks);
    while (done < count && write_item(batch, PyList_GET_ITEM(ticks, done)) == 0) {
        done++;
    }
    if (done == count) {
        messages = messages_of(batch);
    }
    PyMem_Free(memory);
    return messages;
}

static PyObject *packed(Batch *batch, PyObject *ticks) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(ticks); i++) {
        if (measure(batch, PyList_GET_ITEM(ticks, i)) < 0) {
            return NULL;
        }
    }
    PyObject *messages = written(batch, ticks);
    PyObject *records = messages == NULL ? NULL : records_of(batch->newest);
    PyObject *forgotten = records == NULL ? NULL : PyDict_Keys(batch->forgotten);
    if (forgotten == NULL) {
        Py_XDECREF(messages);
        Py_XDECREF(records);
        return NULL;
    }
    return Py_BuildValue("NNNnn", messages, records, forgotten, batch->ticks, batch->shown);
}

PyDoc_STRVAR(pack_batch_doc,
             "pack_batch(ticks, lanes, /)\n--\n\n"
             "Return a batch in the form in which it is written.\n\n"
             "As `pack_batch` in quotes/bridge/batches.py.");

static PyObject *pack_batch(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !PyList_CheckExact(args[0]) || !PyLong_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "pack_batch takes a list and an int");
        return NULL;
    }
    int overflow;
    long lane_count = PyLong_AsLongAndOverflow(args[1], &overflow);
    if (overflow != 0 || lane_count < 0 || lane_count > MAX_LANES) {
        return PyErr_Format(PyExc_ValueError, "lanes are at most %d", MAX_LANES);
    }
    ModuleState *state = PyModule_GetState(module);
    Batch batch = {
        .stream_type = state->stream_state,
        .size = (Py_ssize_t)lane_count * MAX_HEADER,
        .lane_count = lane_count,
        .ticks = PyList_GET_SIZE(args[0]),
        .shown = PyList_GET_SIZE(args[0]),
    };
    PyObject *result = NULL;
    batch.lanes = PyMem_Calloc((size_t)lane_count + 1, sizeof(Lane));
    batch.newest = PyDict_New();
    batch.forgotten = PyDict_New();
    if (batch.lanes == NULL) {
        PyErr_NoMemory();
    } else if (batch.newest != NULL && batch.forgotten != NULL) {
        result = packed(&batch, args[0]);
    }
    PyMem_Free(batch.lanes);
    Py_XDECREF(batch.newest);
    Py_XDECREF(batch.forgotten);
    return result;
}

static PyMethodDef METHODS[] = {
    {"pack_batch", (PyCFunction)(void (*)(void))pack_batch, METH_FASTCALL, pack_batch_doc},
    {NULL, NULL, 0, NULL},
};

int batches_add(PyObject *module) {
    return PyModule_AddFunctions(module, METHODS);
}
