/* The usual layout of a message, as `usual_frame` and `_USUAL_TAIL` in quotes/ticks.py define it:
 *
 *     {"symbol":"RELIANCE","price":2946.10,"timestamp":1712331900000,"volume":7}
 *
 * Compact, the three keys in order, then numbers under names in small letters, each at most once.
 */

#include "speedups.h"

#include <string.h>

#define LEAST_TIMESTAMP 100000000000LL /* before this a timestamp is in seconds */
#define MAX_WHOLE_DIGITS 15
#define MAX_DECIMALS 12
#define LEAST_TIME_DIGITS 12
#define MAX_TIME_DIGITS 14

typedef struct {
    const char *text;
    size_t length;
} Field;

int clamped_int64(PyObject *value, int64_t *found) {
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (number == -1 && overflow == 0 && PyErr_Occurred()) {
        return -1;
    }
    *found = overflow > 0 ? INT64_MAX : overflow < 0 ? INT64_MIN : number;
    return 0;
}

#define FIELD(name) {name, sizeof(name) - 1}

/* Keys that have a meaning of their own, and those of RESERVED_FIELDS, are not other fields. */
static const Field EXCLUDED[] = {
    FIELD("depth"),  FIELD("epoch"),  FIELD("price"),     FIELD("segment"),
    FIELD("seq"),    FIELD("symbol"), FIELD("timestamp"), FIELD("type"),
};
#define EXCLUDED_COUNT (sizeof(EXCLUDED) / sizeof(EXCLUDED[0]))
#define MAX_FIELDS 16
#define MAX_NAME 32

static inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Return how many digits there are from `at` on, `most` + 1 if there are more than that. */
static inline int digits_at(const char *at, const char *end, int most) {
    int count = 0;
    while (count <= most && at + count < end && is_digit(at[count])) {
        count++;
    }
    return count;
}

/* Return the end of the digits before and after the point of a number, NULL if it is not one. */
static const char *unsigned_end(const char *at, const char *end) {
    int whole = digits_at(at, end, MAX_WHOLE_DIGITS);
    if (whole == 0 || whole > MAX_WHOLE_DIGITS || (whole > 1 && *at == '0')) {
        return NULL;
    }
    at += whole;
    if (at < end && *at == '.') {
        int decimals = digits_at(at + 1, end, MAX_DECIMALS);
        if (decimals == 0 || decimals > MAX_DECIMALS) {
            return NULL;
        }
        at += 1 + decimals;
    }
    return at;
}

/* Return the end of a price above 0, NULL if it is not one. */
static const char *price_end(const char *at, const char *end) {
    const char *found = unsigned_end(at, end);
    if (found != NULL && *at == '0') {
        const char *digit = at;
        while (digit < found && (*digit == '0' || *digit == '.')) {
            digit++;
        }
        if (digit == found) {
            return NULL;
        }
    }
    return found;
}

/* Return the end of `text` at `at`, NULL if something else is there. */
static inline const char *past(const char *at, const char *end, const char *text, size_t length) {
    if ((size_t)(end - at) < length || memcmp(at, text, length) != 0) {
        return NULL;
    }
    return at + length;
}

#define PAST(at, end, text) past(at, end, text, sizeof(text) - 1)

/* Find the name at `at`, which a quote and a colon follow; move `at` past these. */
static bool name_at(const char **at, const char *end, Field *name) {
    const char *start = *at, *found = start;
    while (found < end && found - start <= MAX_NAME &&
           ((*found >= 'a' && *found <= 'z') ||
            (found > start && (is_digit(*found) || *found == '_')))) {
        found++;
    }
    name->text = start;
    name->length = (size_t)(found - start);
    if (name->length == 0 || name->length > MAX_NAME || (found = PAST(found, end, "\":")) == NULL) {
        return false;
    }
    *at = found;
    return true;
}

static bool is_among(const Field *name, const Field *names, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (names[i].length == name->length &&
            memcmp(names[i].text, name->text, name->length) == 0) {
            return true;
        }
    }
    return false;
}

bool usual_message_read(const char *payload, Py_ssize_t length, const char *head,
                        Py_ssize_t head_length, int64_t latest_ms, UsualMessage *found) {
    const char *end = payload + length;
    const char *at = past(payload, end, head, (size_t)head_length);
    if (at == NULL || (at = price_end(at, end)) == NULL ||
        (at = PAST(at, end, ",\"timestamp\":")) == NULL) {
        return false;
    }
    int digits = digits_at(at, end, MAX_TIME_DIGITS);
    if (digits < LEAST_TIME_DIGITS || digits > MAX_TIME_DIGITS || *at == '0') {
        return false;
    }
    int64_t timestamp = 0; /* of 14 digits at most: no overflow */
    for (int i = 0; i < digits; i++) {
        timestamp = timestamp * 10 + (at[i] - '0');
    }
    if (timestamp < LEAST_TIMESTAMP || timestamp > latest_ms) {
        return false;
    }
    at += digits;
    found->timestamp = timestamp;
    found->others = at - payload;
    Field names[MAX_FIELDS];
    size_t count = 0;
    while ((end - at) != 1 || *at != '}') {
        Field *name = &names[count];
        if (count == MAX_FIELDS || (at = PAST(at, end, ",\"")) == NULL ||
            !name_at(&at, end, name) || is_among(name, EXCLUDED, EXCLUDED_COUNT) ||
            is_among(name, names, count)) {
            return false;
        }
        count++;
        if (at < end && *at == '-') {
            at++;
        }
        if ((at = unsigned_end(at, end)) == NULL) {
            return false;
        }
    }
    return true;
}

PyObject *usual_message_frame(PyObject *payload, PyObject *segment, const UsualMessage *found) {
    Py_ssize_t length = PyBytes_GET_SIZE(payload), added = PyBytes_GET_SIZE(segment);
    if (added == 0) {
        return Py_NewRef(payload);
    }
    if (length > PY_SSIZE_T_MAX - added) {
        return PyErr_NoMemory();
    }
    PyObject *frame = PyBytes_FromStringAndSize(NULL, length + added);
    if (frame == NULL) {
        return NULL;
    }
    const char *from = PyBytes_AS_STRING(payload);
    char *to = PyBytes_AS_STRING(frame);
    memcpy(to, from, (size_t)found->others);
    memcpy(to + found->others, PyBytes_AS_STRING(segment), (size_t)added);
    memcpy(to + found->others + added, from + found->others, (size_t)(length - found->others));
    return frame;
}

PyDoc_STRVAR(usual_frame_doc,
             "usual_frame(payload, head, segment, *, latest_ms)\n--\n\n"
             "Return the timestamp and the price frame of a message in the usual layout, else None."
             "\n\nAs `usual_frame` in quotes/ticks.py.");

static PyObject *usual_frame(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"payload", "head", "segment", "latest_ms", NULL};
    PyObject *payload, *head, *segment, *latest;
    int64_t latest_ms;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "SSS$O!:usual_frame", names, &payload, &head,
                                     &segment, &PyLong_Type, &latest) ||
        clamped_int64(latest, &latest_ms) < 0) {
        return NULL;
    }
    UsualMessage found;
    if (!usual_message_read(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload),
                            PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), latest_ms, &found)) {
        Py_RETURN_NONE;
    }
    PyObject *frame = usual_message_frame(payload, segment, &found);
    if (frame == NULL) {
        return NULL;
    }
    return Py_BuildValue("LN", (long long)found.timestamp, frame);
}

static PyMethodDef METHODS[] = {
    {"usual_frame", (PyCFunction)(void (*)(void))usual_frame, METH_VARARGS | METH_KEYWORDS,
     usual_frame_doc},
    {NULL, NULL, 0, NULL},
};

int usual_frame_add(PyObject *module) {
    return PyModule_AddFunctions(module, METHODS);
}
