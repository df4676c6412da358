/* Published messages in what Redis sends (RESP3), as `split_messages` in quotes/runtime/redis_link.py
 * describes it. Whatever is not a message in its plain form is left to hiredis.
 */

#include "speedups.h"

#include <string.h>

/* A reply that is not whole is kept until more comes, up to this size. */
#define MAX_REST (1 << 20)
/* Of a number: no sum of them overflows 64 bits. */
#define MAX_DIGITS 9

typedef enum { WHOLE, PARTIAL, ODD } Found;

typedef struct {
    const char *at;
    const char *end;
} Text;

typedef struct {
    const char *start;
    Py_ssize_t length;
} Bulk;

/* Move past a number and its line's end. -1 stands for null; nothing else is negative. */
static Found number_at(Text *text, int64_t *number) {
    const char *at = text->at, *end = text->end;
    int64_t value = 0;
    int digits = 0;
    bool negative = at < end && *at == '-';
    if (negative) {
        at++;
    }
    while (at < end && *at >= '0' && *at <= '9') {
        if (++digits > MAX_DIGITS || (digits == 2 && value == 0)) {
            return ODD;
        }
        value = value * 10 + (*at++ - '0');
    }
    if (end - at < 2) {
        return at == end || *at == '\r' ? PARTIAL : ODD;
    }
    if (digits == 0 || at[0] != '\r' || at[1] != '\n' || (negative && value != 1)) {
        return ODD;
    }
    *number = negative ? -1 : value;
    text->at = at + 2;
    return WHOLE;
}

/* Move past a line's end. */
static Found line_end(Text *text) {
    const char *found = memchr(text->at, '\r', (size_t)(text->end - text->at));
    if (found == NULL || text->end - found < 2) {
        return PARTIAL;
    }
    if (found[1] != '\n') {
        return ODD;
    }
    text->at = found + 2;
    return WHOLE;
}

/* Move past the bytes of a string and its end; `text` is behind its type. */
static Found bulk_at(Text *text, Bulk *bulk) {
    int64_t length;
    Found found = number_at(text, &length);
    if (found != WHOLE) {
        return found;
    }
    bulk->start = text->at;
    bulk->length = (Py_ssize_t)length;
    if (length < 0) {
        return WHOLE;
    }
    if (text->end - text->at < length + 2) {
        return PARTIAL;
    }
    if (text->at[length] != '\r' || text->at[length + 1] != '\n') {
        return ODD;
    }
    text->at += length + 2;
    return WHOLE;
}

/* Move past a whole reply of any type but a push. */
static Found past_reply(Text *text) {
    int64_t left = 1, count;
    Bulk bulk;
    while (left > 0) {
        if (text->at == text->end) {
            return PARTIAL;
        }
        Found found;
        left--;
        switch (*text->at++) {
        case '+': case '-': case ':': case ',': case '#': case '_': case '(':
            found = line_end(text);
            break;
        case '$': case '=': case '!':
            found = bulk_at(text, &bulk);
            break;
        case '*': case '~': case '%':
            count = text->at[-1] == '%' ? 2 : 1;
            int64_t number = 0;
            found = number_at(text, &number);
            if (found == WHOLE && number > 0) {
                left += count * number;
                if (left > INT64_MAX / 2) {
                    return ODD;
                }
            }
            break;
        default:
            return ODD;
        }
        if (found != WHOLE) {
            return found;
        }
    }
    return WHOLE;
}

static inline bool is_text(const Bulk *bulk, const char *text) {
    return bulk->length == (Py_ssize_t)strlen(text) &&
           memcmp(bulk->start, text, (size_t)bulk->length) == 0;
}

/* Move past a push; `text` is behind its type. If it is a message, `channel` and `payload` are set;
 * otherwise the channel's length is negative. */
static Found push_at(Text *text, Bulk *channel, Bulk *payload) {
    int64_t count;
    Found found = number_at(text, &count);
    channel->length = -1;
    if (found != WHOLE) {
        return found;
    }
    if (count < 1) {
        return ODD;
    }
    Bulk kind = {0};
    if (text->at == text->end) {
        return PARTIAL;
    }
    if (*text->at++ != '$') {
        return ODD;
    }
    if ((found = bulk_at(text, &kind)) != WHOLE) {
        return found;
    }
    int left = is_text(&kind, "pmessage") ? 3 : is_text(&kind, "message") ? 2 : 0;
    if (left == 0) {
        for (int64_t i = 1; i < count; i++) {
            if ((found = past_reply(text)) != WHOLE) {
                return found;
            }
        }
        return WHOLE;
    }
    if (count != left + 1) {
        return ODD;
    }
    Bulk before = {0}, last = {0};
    for (; left > 0; left--) {
        if (text->at == text->end) {
            return PARTIAL;
        }
        if (*text->at++ != '$') {
            return ODD;
        }
        before = last;
        if ((found = bulk_at(text, &last)) != WHOLE) {
            return found;
        }
        if (last.length < 0) {
            return ODD;
        }
    }
    *channel = before;
    *payload = last;
    return WHOLE;
}

static PyObject *pair_of(const Bulk *channel, const Bulk *payload) {
    PyObject *pair = PyTuple_New(2);
    PyObject *first = PyBytes_FromStringAndSize(channel->start, channel->length);
    PyObject *second = PyBytes_FromStringAndSize(payload->start, payload->length);
    if (pair == NULL || first == NULL || second == NULL) {
        Py_XDECREF(pair);
        Py_XDECREF(first);
        Py_XDECREF(second);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, first);
    PyTuple_SET_ITEM(pair, 1, second);
    return pair;
}

/* Append text to bytes, which may be NULL; without memory, return -1 and set them to NULL. */
static int append_text(PyObject **bytes, const char *start, Py_ssize_t length) {
    PyObject *more = PyBytes_FromStringAndSize(start, length);
    if (more == NULL) {
        Py_CLEAR(*bytes);
        return -1;
    }
    if (*bytes == NULL) {
        *bytes = more;
        return 0;
    }
    PyBytes_ConcatAndDel(bytes, more);
    return *bytes == NULL ? -1 : 0;
}

PyDoc_STRVAR(split_messages_doc,
             "split_messages(data, /)\n--\n\n"
             "Return the published messages in data, what hiredis is to read, and the rest.\n\n"
             "As `split_messages` in quotes/runtime/redis_link.py describes it.");

static PyObject *split_messages(PyObject *module, PyObject *data) {
    (void)module;
    if (!PyBytes_CheckExact(data)) {
        return PyErr_Format(PyExc_TypeError, "data must be bytes, got %.100s",
                            Py_TYPE(data)->tp_name);
    }
    Text text = {PyBytes_AS_STRING(data), PyBytes_AS_STRING(data) + PyBytes_GET_SIZE(data)};
    PyObject *messages = PyList_New(0), *others = NULL, *rest = NULL;
    if (messages == NULL) {
        return NULL;
    }
    Found found = WHOLE;
    while (text.at < text.end) {
        const char *start = text.at;
        Bulk channel = {NULL, -1}, payload = {NULL, -1};
        if (*start == '>') {
            text.at++;
            found = push_at(&text, &channel, &payload);
        } else {
            found = past_reply(&text);
        }
        if (found != WHOLE) {
            text.at = start;
            break;
        }
        if (channel.length >= 0) {
            PyObject *pair = pair_of(&channel, &payload);
            if (pair == NULL) {
                goto failed;
            }
            int done = PyList_Append(messages, pair);
            Py_DECREF(pair);
            if (done < 0) {
                goto failed;
            }
        } else if (append_text(&others, start, text.at - start) < 0) {
            goto failed;
        }
    }
    bool is_odd = found == ODD || text.end - text.at > MAX_REST;
    if (append_text(&others, text.at, is_odd ? text.end - text.at : 0) < 0) {
        goto failed;
    }
    rest = is_odd ? Py_NewRef(Py_None) : PyBytes_FromStringAndSize(text.at, text.end - text.at);
    if (rest == NULL) {
        goto failed;
    }
    return Py_BuildValue("NNN", messages, others, rest);
failed:
    Py_DECREF(messages);
    Py_XDECREF(others);
    return NULL;
}

static PyMethodDef METHODS[] = {
    {"split_messages", split_messages, METH_O, split_messages_doc},
    {NULL, NULL, 0, NULL},
};

int redis_replies_add(PyObject *module) {
    return PyModule_AddFunctions(module, METHODS);
}
