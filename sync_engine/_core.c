/* The hot primitives of resolve, compiled: read a claim, see a record's shape, pick what it says, write a golden record.

   Each has its pure function in Python, which is the truth: what is not the common record (odd bytes, other types, numbers beyond 64 bits)
   is left to that one, so no error and no rare case is decided here. `sync_engine.model.core` chooses, tests/properties compare the two.
   The surprise: Structs are read by the offsets of their fields, which their member descriptors tell; a class without such is not taken. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdint.h>
#include <string.h>

#define VERSION 1 /* raised with every change that model/core.py must know of */
#define SLOTS_MAX 8
#define ITEMS_MAX 512

/* --- fields of Structs ---------------------------------------------------------------------------------------------------------- */

typedef struct {
    PyTypeObject *type; /* the last one seen: there is only one */
    const char *const *names;
    Py_ssize_t offsets[16];
} Layout;

static const char *const CLAIM_NAMES[] = {"source", "kind", "values", "withheld", "floor", "error", NULL};
enum { CLAIM_SOURCE, CLAIM_KIND, CLAIM_VALUES, CLAIM_WITHHELD, CLAIM_FLOOR, CLAIM_ERROR };
static const char *const CONTENT_NAMES[] = {"entity", "key", "life_cycle", "moved_to", "jurisdiction", "redirect", "items", "flags", NULL};
enum { ENTITY, KEY, LIFE_CYCLE, MOVED_TO, JURISDICTION, REDIRECT, ITEMS, FLAGS };
static const char *const GOLDEN_NAMES[] = {"content", "version", "digest", "catalogue_version", "effective_ms", "sources", "left", NULL};
enum { CONTENT, GOLDEN_VERSION, DIGEST, CATALOGUE_VERSION, EFFECTIVE_MS, SOURCES, LEFT };

static Layout claims = {NULL, CLAIM_NAMES, {0}}, contents = {NULL, CONTENT_NAMES, {0}}, goldens = {NULL, GOLDEN_NAMES, {0}};

/* Whether the class's fields can be read: false, without an exception, for a class of another kind. */
static int
learn(Layout *layout, PyTypeObject *type)
{
    Py_ssize_t offsets[16] = {0};
    for (int i = 0; layout->names[i] != NULL; i++) {
        PyObject *descriptor = PyObject_GetAttrString((PyObject *)type, layout->names[i]);
        if (descriptor == NULL) {
            PyErr_Clear();
            return 0;
        }
        int is_field = Py_TYPE(descriptor) == &PyMemberDescr_Type && ((PyMemberDescrObject *)descriptor)->d_member->type == T_OBJECT_EX;
        offsets[i] = is_field ? ((PyMemberDescrObject *)descriptor)->d_member->offset : 0;
        Py_DECREF(descriptor);
        if (!is_field)
            return 0;
    }
    memcpy(layout->offsets, offsets, sizeof offsets);
    Py_INCREF(type);
    Py_XSETREF(layout->type, type);
    return 1;
}

#define FIELD(layout, object, field) (*(PyObject **)((char *)(object) + (layout).offsets[field]))

/* Whether the object's fields can be read, and each of them is there. */
static int
is_readable(Layout *layout, PyObject *object)
{
    if (layout->type != Py_TYPE(object) && !learn(layout, Py_TYPE(object)))
        return 0;
    for (int i = 0; layout->names[i] != NULL; i++)
        if (FIELD(*layout, object, i) == NULL)
            return 0;
    return 1;
}

/* --- writing: one buffer, used under the GIL by one call at a time: nothing below runs Python code while it is in use ------------ */

static char *buffer;
static size_t filled, capacity;

static int
room(size_t more)
{
    if (filled + more <= capacity)
        return 1;
    size_t wanted = capacity ? capacity * 2 : 16384;
    while (wanted < filled + more)
        wanted *= 2;
    char *grown = PyMem_Realloc(buffer, wanted);
    if (grown == NULL)
        return 0;
    buffer = grown;
    capacity = wanted;
    return 1;
}

static int
put(const char *bytes, size_t size)
{
    if (!room(size))
        return 0;
    memcpy(buffer + filled, bytes, size);
    filled += size;
    return 1;
}

static int
put_byte(char byte)
{
    return put(&byte, 1);
}

static int
put_number(int64_t value)
{
    uint64_t n = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    if (!room(10))
        return 0;
    while (n > 127) {
        buffer[filled++] = (char)((n & 127) | 128);
        n >>= 7;
    }
    buffer[filled++] = (char)n;
    return 1;
}

/* False without an exception: not an int of 64 bits. */
static int
number_of(PyObject *value, int64_t *number)
{
    int overflow = 0;
    if (value == NULL || !PyLong_CheckExact(value))
        return 0;
    *number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return !overflow;
}

static int
put_int(PyObject *value)
{
    int64_t number;
    return number_of(value, &number) && put_number(number);
}

/* The text's UTF-8; NULL without an exception if it is no text, or has none. */
static const char *
utf8_of(PyObject *text, Py_ssize_t *size)
{
    if (text == NULL || !PyUnicode_CheckExact(text))
        return NULL;
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        *size = PyUnicode_GET_LENGTH(text);
        return (const char *)PyUnicode_1BYTE_DATA(text);
    }
    const char *bytes = PyUnicode_AsUTF8AndSize(text, size);
    if (bytes == NULL)
        PyErr_Clear();
    return bytes;
}

static int
put_text(PyObject *text)
{
    Py_ssize_t size;
    const char *bytes = utf8_of(text, &size);
    return bytes != NULL && put_number(size) && put(bytes, (size_t)size);
}

static int
put_optional_text(PyObject *text)
{
    return text == Py_None ? put_byte(0) : put_byte(2) && put_text(text);
}

static int
same_text(PyObject *a, PyObject *b)
{
    if (a == b)
        return 1;
    if (!PyUnicode_CheckExact(a) || !PyUnicode_CheckExact(b))
        return 0;
    Py_ssize_t size = PyUnicode_GET_LENGTH(a);
    int kind = PyUnicode_KIND(a);
    return size == PyUnicode_GET_LENGTH(b) && kind == (int)PyUnicode_KIND(b) && !memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), size * kind);
}

/* --- reading claims ---------------------------------------------------------------------------------------------------------------*/

#define TEXTS 256 /* a power of two */

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *claim;     /* the class */
    PyObject *items;     /* names, in the order of the schema */
    PyObject *otherwise; /* the pure function */
    PyObject *texts[TEXTS]; /* sources, mappings, names of items: they come again and again */
    Py_ssize_t start;
    char kinds[ITEMS_MAX];
} Reader;

static int
read_number(const uint8_t **at, const uint8_t *end, int64_t *number)
{
    const uint8_t *p = *at;
    uint64_t n = 0;
    for (int shift = 0; shift < 63 && p < end; shift += 7) {
        uint8_t byte = *p++;
        n |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *at = p;
            *number = (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
            return 1;
        }
    }
    return 0; /* past the end, or of ten bytes */
}

static int
read_size(const uint8_t **at, const uint8_t *end, Py_ssize_t *size)
{
    int64_t number;
    if (!read_number(at, end, &number) || number < 0 || number > end - *at)
        return 0;
    *size = (Py_ssize_t)number;
    return 1;
}

static PyObject *
read_text(const uint8_t **at, const uint8_t *end)
{
    Py_ssize_t size;
    if (!read_size(at, end, &size))
        return NULL;
    PyObject *text = PyUnicode_DecodeUTF8((const char *)*at, size, NULL);
    *at += size;
    return text;
}

static PyObject *
read_known_text(Reader *reader, const uint8_t **at, const uint8_t *end)
{
    Py_ssize_t size, known_size;
    const uint8_t *before = *at;
    if (!read_size(at, end, &size))
        return NULL;
    uint32_t hash = 2166136261u;
    for (Py_ssize_t i = 0; i < size; i++)
        hash = (hash ^ (*at)[i]) * 16777619u;
    PyObject **place = &reader->texts[(hash ^ hash >> 16) & (TEXTS - 1)];
    const char *known = *place == NULL ? NULL : utf8_of(*place, &known_size);
    if (known == NULL || known_size != size || memcmp(known, *at, (size_t)size)) {
        *at = before;
        PyObject *text = read_text(at, end);
        if (text == NULL)
            return NULL;
        Py_XSETREF(*place, text);
    }
    else
        *at += size;
    return Py_NewRef(*place);
}

static PyObject *
read_int(const uint8_t **at, const uint8_t *end)
{
    int64_t number;
    return read_number(at, end, &number) ? PyLong_FromLongLong(number) : NULL;
}

static PyObject *
read_optional_text(const uint8_t **at, const uint8_t *end)
{
    if (*at >= end)
        return NULL;
    uint8_t branch = *(*at)++;
    return branch == 0 ? Py_NewRef(Py_None) : branch == 2 ? read_text(at, end) : NULL;
}

static PyObject *
read_position(const uint8_t **at, const uint8_t *end)
{
    PyObject *position = PyTuple_New(5);
    for (int i = 0; position != NULL && i < 5; i++) {
        PyObject *number = read_int(at, end);
        if (number == NULL)
            Py_CLEAR(position);
        else
            PyTuple_SET_ITEM(position, i, number);
    }
    return position;
}

static PyObject *
read_value(char kind, const uint8_t **at, const uint8_t *end)
{
    if (kind == 's')
        return read_text(at, end);
    if (kind == 'l')
        return read_int(at, end);
    if (*at >= end || **at > 1)
        return NULL;
    return Py_NewRef(*(*at)++ ? Py_True : Py_False);
}

static PyObject *
read_values(Reader *reader, const uint8_t **at, const uint8_t *end)
{
    PyObject *read[ITEMS_MAX];
    Py_ssize_t count = PyTuple_GET_SIZE(reader->items), known = 0, done = 0;
    for (; done < count; done++) {
        if (*at >= end || (**at != 0 && **at != 2))
            break;
        read[done] = *(*at)++ ? read_value(reader->kinds[done], at, end) : Py_None;
        if (read[done] == NULL)
            break;
        known += read[done] != Py_None;
    }
#if PY_VERSION_HEX < 0x030D0000
    PyObject *values = done == count ? _PyDict_NewPresized(known) : NULL;
#else
    PyObject *values = done == count ? PyDict_New() : NULL;
#endif
    for (Py_ssize_t i = 0; i < done; i++) {
        if (read[i] == Py_None)
            continue;
        if (values != NULL && PyDict_SetItem(values, PyTuple_GET_ITEM(reader->items, i), read[i]) < 0)
            Py_CLEAR(values);
        Py_DECREF(read[i]);
    }
    return values;
}

enum { READ_SOURCE, READ_ROW, READ_MAPPING, READ_KIND, READ_POSITION, READ_VALUES, READ_MOVED_TO, READ_WITHHELD, READ_UNCHANGED,
       READ_POSITIONS, READ_FLOOR, READ_EFFECTIVE_MS, READ_PATH, READ_VIA, READ_ERROR, READ_FIELDS };

/* An array of names, nearly always empty. */
static PyObject *
read_names(Reader *reader, const uint8_t **at, const uint8_t *end)
{
    Py_ssize_t count;
    if (!read_size(at, end, &count))
        return NULL;
    PyObject *names = PyTuple_New(count);
    for (Py_ssize_t i = 0; names != NULL && i < count; i++) {
        PyObject *name = read_known_text(reader, at, end);
        if (name == NULL)
            Py_CLEAR(names);
        else
            PyTuple_SET_ITEM(names, i, name);
    }
    if (names != NULL && count && (*at >= end || *(*at)++ != 0)) /* further blocks */
        Py_CLEAR(names);
    return names;
}

static int
add_nulls(Reader *reader, const uint8_t **at, const uint8_t *end, PyObject *values)
{
    PyObject *names = read_names(reader, at, end);
    int done = names != NULL;
    for (Py_ssize_t i = 0; done && i < PyTuple_GET_SIZE(names); i++)
        done = !PyDict_SetItem(values, PyTuple_GET_ITEM(names, i), Py_None);
    Py_XDECREF(names);
    return done;
}

/* The common claim: no item is unchanged, no positions, no floor, no error. NULL, without an exception, for others. */
static PyObject *
read_claim(Reader *reader, const uint8_t *at, const uint8_t *end, PyObject *path)
{
    static const uint8_t NO_EVIDENCE[4] = {0};
    PyObject *read[READ_FIELDS] = {NULL}, *claim = NULL;
    if (at >= end || *at > 6 || *at & 1)
        return NULL;
    read[READ_KIND] = PyLong_FromLong((*at++ >> 1) + 1);
    if ((read[READ_SOURCE] = read_known_text(reader, &at, end)) != NULL && (read[READ_ROW] = read_text(&at, end)) != NULL
        && (read[READ_MAPPING] = read_known_text(reader, &at, end)) != NULL && (read[READ_POSITION] = read_position(&at, end)) != NULL
        && (read[READ_EFFECTIVE_MS] = read_int(&at, end)) != NULL && (read[READ_MOVED_TO] = read_optional_text(&at, end)) != NULL
        && (read[READ_VIA] = read_optional_text(&at, end)) != NULL && (read[READ_VALUES] = read_values(reader, &at, end)) != NULL
        && add_nulls(reader, &at, end, read[READ_VALUES]) && (read[READ_WITHHELD] = read_names(reader, &at, end)) != NULL
        && end - at == sizeof NO_EVIDENCE && !memcmp(at, NO_EVIDENCE, sizeof NO_EVIDENCE)) {
        read[READ_UNCHANGED] = PyDict_New();
        read[READ_POSITIONS] = PyDict_New();
        read[READ_FLOOR] = Py_NewRef(Py_None);
        read[READ_ERROR] = Py_NewRef(Py_None);
        read[READ_PATH] = Py_NewRef(path);
        if (read[READ_UNCHANGED] != NULL && read[READ_POSITIONS] != NULL)
            claim = PyObject_Vectorcall(reader->claim, read, READ_FIELDS, NULL);
    }
    for (int i = 0; i < READ_FIELDS; i++)
        Py_XDECREF(read[i]);
    if (claim == NULL)
        PyErr_Clear();
    return claim;
}

static PyObject *
Reader_call(PyObject *self, PyObject *const *args, size_t flags, PyObject *names)
{
    Reader *reader = (Reader *)self;
    if (PyVectorcall_NARGS(flags) != 2 || names != NULL || !PyBytes_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "wanted: the record's bytes, the path");
        return NULL;
    }
    const uint8_t *bytes = (const uint8_t *)PyBytes_AS_STRING(args[0]), *end = bytes + PyBytes_GET_SIZE(args[0]);
    PyObject *claim = end - bytes < reader->start ? NULL : read_claim(reader, bytes + reader->start, end, args[1]);
    return claim != NULL ? claim : PyObject_Vectorcall(reader->otherwise, args, 2, NULL);
}

static int
Reader_traverse(Reader *reader, visitproc visit, void *arg)
{
    Py_VISIT(reader->claim);
    Py_VISIT(reader->otherwise);
    return 0;
}

static int
Reader_clear(Reader *reader)
{
    Py_CLEAR(reader->claim);
    Py_CLEAR(reader->items);
    Py_CLEAR(reader->otherwise);
    for (int i = 0; i < TEXTS; i++)
        Py_CLEAR(reader->texts[i]);
    return 0;
}

static void
Reader_dealloc(Reader *reader)
{
    PyObject_GC_UnTrack(reader);
    Reader_clear(reader);
    PyObject_GC_Del(reader);
}

static PyTypeObject ReaderType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "sync_engine._core.ClaimReader",
    .tp_basicsize = sizeof(Reader),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Reader, call),
    .tp_call = PyVectorcall_Call,
    .tp_traverse = (traverseproc)Reader_traverse,
    .tp_clear = (inquiry)Reader_clear,
    .tp_dealloc = (destructor)Reader_dealloc,
};

/* "sslb" of ("string", "string", "long", "boolean"), and the names; false with an exception. */
static int
read_kinds(PyObject *items, PyObject **names, char *kinds)
{
    Py_ssize_t count = PyTuple_Check(items) ? PyTuple_GET_SIZE(items) : ITEMS_MAX + 1;
    if (count > ITEMS_MAX) {
        PyErr_SetString(PyExc_ValueError, "too many items");
        return 0;
    }
    if ((*names = PyTuple_New(count)) == NULL)
        return 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name;
        const char *kind;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(items, i), "Us", &name, &kind)) {
            Py_CLEAR(*names);
            return 0;
        }
        Py_INCREF(name);
        PyUnicode_InternInPlace(&name);
        PyTuple_SET_ITEM(*names, i, name);
        kinds[i] = kind[0];
    }
    return 1;
}

static PyObject *
claim_reader(PyObject *module, PyObject *args)
{
    PyObject *claim, *items, *otherwise;
    Py_ssize_t start;
    if (!PyArg_ParseTuple(args, "OOnO", &claim, &items, &start, &otherwise))
        return NULL;
    Reader *reader = PyObject_GC_New(Reader, &ReaderType);
    if (reader == NULL)
        return NULL;
    memset((char *)reader + sizeof(PyObject), 0, sizeof(Reader) - sizeof(PyObject));
    reader->call = Reader_call;
    reader->claim = Py_NewRef(claim);
    reader->otherwise = Py_NewRef(otherwise);
    reader->start = start;
    if (!read_kinds(items, &reader->items, reader->kinds)) {
        Reader_clear(reader);
        PyObject_GC_Del(reader);
        return NULL;
    }
    PyObject_GC_Track(reader);
    return (PyObject *)reader;
}

/* --- writing golden records --------------------------------------------------------------------------------------------------------*/

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *prefix;
    PyObject *items;
    PyObject *life_cycles; /* in the order of the schema, like the statuses */
    PyObject *statuses;    /* the first is what needs no saying */
    PyObject *otherwise;
    char kinds[ITEMS_MAX];
} Writer;

static int
put_symbol(PyObject *symbols, PyObject *symbol)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(symbols); i++)
        if (same_text(PyTuple_GET_ITEM(symbols, i), symbol))
            return put_number(i);
    return 0;
}

static int
put_value(char kind, PyObject *value)
{
    if (kind == 's')
        return put_text(value);
    if (kind == 'l')
        return put_int(value);
    return (value == Py_True || value == Py_False) && put_byte(value == Py_True);
}

/* One (item, status, value) of a content; false if it is none. */
static int
said_of(PyObject *items, Py_ssize_t i, PyObject **item, PyObject **status, PyObject **value)
{
    PyObject *said = PyList_GET_ITEM(items, i);
    if (!PyTuple_CheckExact(said) || PyTuple_GET_SIZE(said) != 3)
        return 0;
    *item = PyTuple_GET_ITEM(said, 0);
    *status = PyTuple_GET_ITEM(said, 1);
    *value = PyTuple_GET_ITEM(said, 2);
    return 1;
}

/* The items record, then the map of statuses. Both the schema's items and the content's are sorted. */
static int
put_items(Writer *writer, PyObject *items)
{
    PyObject *item, *status, *value, *confirmed = PyTuple_GET_ITEM(writer->statuses, 0);
    Py_ssize_t count = PyTuple_GET_SIZE(writer->items), place = 0, special = 0;
    if (!PyList_CheckExact(items))
        return 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
        if (!said_of(items, i, &item, &status, &value))
            return 0;
        for (; place < count && !same_text(PyTuple_GET_ITEM(writer->items, place), item); place++)
            if (!put_byte(0))
                return 0;
        if (place == count)
            return 0;
        if (value == Py_None ? !put_byte(0) : !(put_byte(2) && put_value(writer->kinds[place], value)))
            return 0;
        place++;
        special += value == Py_None || !same_text(status, confirmed);
    }
    for (; place < count; place++)
        if (!put_byte(0))
            return 0;
    if (special && !put_number(special))
        return 0;
    for (Py_ssize_t i = 0; special && i < PyList_GET_SIZE(items); i++) {
        said_of(items, i, &item, &status, &value);
        if ((value == Py_None || !same_text(status, confirmed)) && !(put_text(item) && put_symbol(writer->statuses, status)))
            return 0;
    }
    return put_byte(0);
}

static int
put_texts(PyObject *texts)
{
    if (!PyTuple_CheckExact(texts))
        return 0;
    if (PyTuple_GET_SIZE(texts) && !put_number(PyTuple_GET_SIZE(texts)))
        return 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(texts); i++)
        if (!put_text(PyTuple_GET_ITEM(texts, i)))
            return 0;
    return put_byte(0);
}

static int
put_map(PyObject *map, int (*put_entry)(PyObject *))
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    if (!PyDict_CheckExact(map))
        return 0;
    if (PyDict_GET_SIZE(map) && !put_number(PyDict_GET_SIZE(map)))
        return 0;
    while (PyDict_Next(map, &at, &key, &value))
        if (!put_text(key) || !put_entry(value))
            return 0;
    return put_byte(0);
}

static int
put_golden(Writer *writer, PyObject *golden)
{
    if (!is_readable(&goldens, golden))
        return 0;
    PyObject *content = FIELD(goldens, golden, CONTENT), *digest = FIELD(goldens, golden, DIGEST);
    if (!PyBytes_CheckExact(digest) || !is_readable(&contents, content))
        return 0;
    return put(PyBytes_AS_STRING(writer->prefix), (size_t)PyBytes_GET_SIZE(writer->prefix))
           && put_int(FIELD(goldens, golden, GOLDEN_VERSION)) && put_number(PyBytes_GET_SIZE(digest))
           && put(PyBytes_AS_STRING(digest), (size_t)PyBytes_GET_SIZE(digest))
           && put_symbol(writer->life_cycles, FIELD(contents, content, LIFE_CYCLE))
           && put_optional_text(FIELD(contents, content, MOVED_TO)) && put_optional_text(FIELD(contents, content, JURISDICTION))
           && put_optional_text(FIELD(contents, content, REDIRECT)) && put_items(writer, FIELD(contents, content, ITEMS))
           && put_texts(FIELD(contents, content, FLAGS)) && put_int(FIELD(goldens, golden, CATALOGUE_VERSION))
           && put_int(FIELD(goldens, golden, EFFECTIVE_MS)) && put_map(FIELD(goldens, golden, SOURCES), put_text)
           && put_map(FIELD(goldens, golden, LEFT), put_int);
}

static PyObject *
Writer_call(PyObject *self, PyObject *const *args, size_t flags, PyObject *names)
{
    Writer *writer = (Writer *)self;
    if (PyVectorcall_NARGS(flags) != 1 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "wanted: a golden record");
        return NULL;
    }
    filled = 0;
    if (put_golden(writer, args[0]))
        return PyBytes_FromStringAndSize(buffer, (Py_ssize_t)filled);
    return PyObject_Vectorcall(writer->otherwise, args, 1, NULL);
}

static int
Writer_traverse(Writer *writer, visitproc visit, void *arg)
{
    Py_VISIT(writer->otherwise);
    return 0;
}

static int
Writer_clear(Writer *writer)
{
    Py_CLEAR(writer->prefix);
    Py_CLEAR(writer->items);
    Py_CLEAR(writer->life_cycles);
    Py_CLEAR(writer->statuses);
    Py_CLEAR(writer->otherwise);
    return 0;
}

static void
Writer_dealloc(Writer *writer)
{
    PyObject_GC_UnTrack(writer);
    Writer_clear(writer);
    PyObject_GC_Del(writer);
}

static PyTypeObject WriterType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "sync_engine._core.GoldenWriter",
    .tp_basicsize = sizeof(Writer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Writer, call),
    .tp_call = PyVectorcall_Call,
    .tp_traverse = (traverseproc)Writer_traverse,
    .tp_clear = (inquiry)Writer_clear,
    .tp_dealloc = (destructor)Writer_dealloc,
};

static PyObject *
golden_writer(PyObject *module, PyObject *args)
{
    PyObject *prefix, *items, *life_cycles, *statuses, *otherwise;
    if (!PyArg_ParseTuple(args, "SOO!O!O", &prefix, &items, &PyTuple_Type, &life_cycles, &PyTuple_Type, &statuses, &otherwise))
        return NULL;
    Writer *writer = PyObject_GC_New(Writer, &WriterType);
    if (writer == NULL)
        return NULL;
    memset((char *)writer + sizeof(PyObject), 0, sizeof(Writer) - sizeof(PyObject));
    writer->call = Writer_call;
    writer->prefix = Py_NewRef(prefix);
    writer->life_cycles = Py_NewRef(life_cycles);
    writer->statuses = Py_NewRef(statuses);
    writer->otherwise = Py_NewRef(otherwise);
    if (!read_kinds(items, &writer->items, writer->kinds)) {
        Writer_clear(writer);
        PyObject_GC_Del(writer);
        return NULL;
    }
    PyObject_GC_Track(writer);
    return (PyObject *)writer;
}

/* --- what a record's slots say --------------------------------------------------------------------------------------------------------*/

/* The dict of the slot's values, borrowed; NULL without an exception. */
static PyObject *
values_of(PyObject *slot)
{
    PyObject *values = is_readable(&claims, slot) ? FIELD(claims, slot, CLAIM_VALUES) : NULL;
    return values != NULL && PyDict_CheckExact(values) ? values : NULL;
}

static int
is_common(PyObject *slot)
{
    if (values_of(slot) == NULL)
        return 0;
    PyObject *kind = FIELD(claims, slot, CLAIM_KIND), *withheld = FIELD(claims, slot, CLAIM_WITHHELD);
    int64_t number;
    return number_of(kind, &number) && number == 1 && PyTuple_CheckExact(withheld) && !PyTuple_GET_SIZE(withheld)
           && FIELD(claims, slot, CLAIM_FLOOR) == Py_None && FIELD(claims, slot, CLAIM_ERROR) == Py_None;
}

static PyObject *
shape_of_slot(PyObject *slot)
{
    PyObject *values = values_of(slot), *key, *value, *items = PyTuple_New(PyDict_GET_SIZE(values));
    Py_ssize_t at = 0, place = 0;
    if (items == NULL)
        return NULL;
    while (PyDict_Next(values, &at, &key, &value))
        PyTuple_SET_ITEM(items, place++, Py_NewRef(key));
    PyObject *shape = PyTuple_Pack(2, FIELD(claims, slot, CLAIM_SOURCE), items);
    Py_DECREF(items);
    return shape;
}

static PyObject *
shape(PyObject *module, PyObject *slots)
{
    if (!PyList_CheckExact(slots))
        Py_RETURN_NONE;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(slots); i++)
        if (!is_common(PyList_GET_ITEM(slots, i)))
            Py_RETURN_NONE;
    PyObject *shape = PyTuple_New(PyList_GET_SIZE(slots));
    for (Py_ssize_t i = 0; shape != NULL && i < PyList_GET_SIZE(slots); i++) {
        PyObject *of_slot = shape_of_slot(PyList_GET_ITEM(slots, i));
        if (of_slot == NULL)
            Py_CLEAR(shape);
        else
            PyTuple_SET_ITEM(shape, i, of_slot);
    }
    return shape;
}

/* Borrowed; NULL with KeyError or IndexError. */
static PyObject *
value_of(PyObject *slots, PyObject *place, PyObject *item)
{
    Py_ssize_t index = PyLong_AsSsize_t(place);
    PyObject *values = index >= 0 && index < PyList_GET_SIZE(slots) ? values_of(PyList_GET_ITEM(slots, index)) : NULL;
    if (values == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_IndexError, "no such slot");
        return NULL;
    }
    PyObject *value = PyDict_GetItemWithError(values, item);
    if (value == NULL && !PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, item);
    return value;
}

static PyObject *
pick(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 || !PyTuple_CheckExact(args[0]) || !PyList_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "wanted: a tuple, a list of slots");
        return NULL;
    }
    PyObject *won = args[0], *slots = args[1], *said = PyList_New(PyTuple_GET_SIZE(won));
    for (Py_ssize_t i = 0; said != NULL && i < PyTuple_GET_SIZE(won); i++) {
        PyObject *item, *status, *place, *value = NULL;
        if (PyArg_UnpackTuple(PyTuple_GET_ITEM(won, i), "won", 3, 3, &item, &status, &place))
            value = value_of(slots, place, item);
        PyObject *one = value == NULL ? NULL : PyTuple_Pack(3, item, status, value);
        if (one == NULL)
            Py_CLEAR(said);
        else
            PyList_SET_ITEM(said, i, one);
    }
    return said;
}

/* 1 or 0: whether the values of an item in some slots differ; null is none. -1 with an exception. */
static int
differs(PyObject *item, PyObject *places, PyObject *slots)
{
    PyObject *first = NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(places); i++) {
        PyObject *value = value_of(slots, PyTuple_GET_ITEM(places, i), item);
        if (value == NULL)
            return -1;
        if (value == Py_None || value == first)
            continue;
        if (first == NULL)
            first = value;
        else {
            int differ = PyObject_RichCompareBool(value, first, Py_NE);
            if (differ)
                return differ;
        }
    }
    return 0;
}

static PyObject *
differing(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 || !PyTuple_CheckExact(args[0]) || !PyList_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "wanted: a tuple, a list of slots");
        return NULL;
    }
    PyObject *found = PyList_New(0);
    for (Py_ssize_t i = 0; found != NULL && i < PyTuple_GET_SIZE(args[0]); i++) {
        PyObject *item, *places;
        int differ = -1;
        if (PyArg_ParseTuple(PyTuple_GET_ITEM(args[0], i), "OO!", &item, &PyTuple_Type, &places))
            differ = differs(item, places, args[1]);
        PyObject *number = differ > 0 ? PyLong_FromSsize_t(i) : NULL;
        if (differ < 0 || (differ && (number == NULL || PyList_Append(found, number) < 0)))
            Py_CLEAR(found);
        Py_XDECREF(number);
    }
    return found;
}

/* --- the module --------------------------------------------------------------------------------------------------------------------*/

static PyMethodDef METHODS[] = {
    {"claim_reader", claim_reader, METH_VARARGS, NULL}, {"golden_writer", golden_writer, METH_VARARGS, NULL},
    {"shape", shape, METH_O, NULL},
    {"pick", (PyCFunction)(void (*)(void))pick, METH_FASTCALL, NULL},
    {"differing", (PyCFunction)(void (*)(void))differing, METH_FASTCALL, NULL}, {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "sync_engine._core", NULL, -1, METHODS, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC
PyInit__core(void)
{
    if (PyType_Ready(&ReaderType) < 0 || PyType_Ready(&WriterType) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&MODULE);
    if (module != NULL && PyModule_AddIntConstant(module, "VERSION", VERSION) < 0)
        Py_CLEAR(module);
    return module;
}
