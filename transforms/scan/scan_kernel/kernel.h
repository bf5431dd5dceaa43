/* What the kernel's parts share: events, state, and the promises about memory.

   A buffer of `size` bytes has PADDING bytes behind it, which may be read but never count, and LINE bytes or the
   beginning of a line in front of it. Places are distances from `data`. All of a scan's state is in one `scan_state`,
   so a block may end at any byte. Python's constants of the same names (kernel.py) are held to these by a test. */

#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifndef LEVEL
#error "hatch_build.py says for which processors this is compiled: -DLEVEL=..."
#endif
#define JOINED(level, name) level##_##name
#define NAMED(level, name) JOINED(level, name)
#define EXPORTED(name) NAMED(LEVEL, name)
#define PUBLIC __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

enum { PADDING = 128, LINE = 64 };

/* Events of next_event */
enum { NEED_MORE, ELEMENT, SECTION_END, INDEX_FULL, BAD };

/* What scan_state.state can be: which token comes next */
enum {
    ELEMENT_OR_END, ELEMENT_NEXT, AFTER_ELEMENT, OWN_STRING, AFTER_OWN_STRING, VALUE, ELEMENT_ENDED, OWN, NESTED, STRING
};

/* scan_state.section; NO_SECTION is what skip_nested is told of anything else */
enum { NO_SECTION = -1, ITEMS, REFERENCES_INDEXED, REFERENCES_FILTERED, RATES };
enum { UNKNOWN, WANTED, UNWANTED };                              /* code, type */
enum { OTHER_KEY, CODE_KEY, TYPE_KEY, ID_KEY, ESCAPED_KEY };     /* key */
enum { NO_ID, ODD_ID };                                          /* hash: no id at all; what only Python can compare */
enum { BAD_ELEMENT, BAD_SEPARATOR, BAD_VALUE, BAD_STRING, BAD_SCALAR, BAD_NESTING, TOO_DEEP }; /* error */
#define NOWHERE (-((int64_t)1 << 62))                            /* start while no element is open */

typedef struct {
    int64_t state;       /* which token comes next */
    int64_t pos;         /* where */
    int64_t depth;       /* brackets open in what is passed over */
    int64_t braces;      /* of them braces */
    int64_t inside;      /* whether a string is open there */
    int64_t escaped;     /* whether the next byte is escaped there */
    int64_t start;       /* of the open element */
    int64_t seen;        /* elements passed over */
    int64_t nulls;       /* elements that are null */
    int64_t others;      /* elements that are neither objects nor null */
    int64_t code;        /* of the open element: whether its code, or its id, is wanted */
    int64_t type;        /* likewise its code's type */
    int64_t odd;         /* whether it has a key with an escape */
    int64_t key;         /* the own key read last */
    int64_t section;     /* what kind of array this is */
    int64_t hash;        /* of the open reference's id */
    int64_t single;      /* whether the element stands by itself, in no array */
    int64_t stop_at_end; /* whether to stop at the open element's end, wanted or not */
    int64_t indexed;     /* rows in the index */
    int64_t spooled;     /* how far data[0] is behind the section's first byte */
    int64_t index_rows;  /* how many rows the index has room for */
    int64_t error;       /* what is wrong */
    int64_t return_to;   /* the state behind a nested value or a string */
    int64_t deepest;     /* how many brackets may be open */
} scan_state;

typedef struct {
    int64_t hash, start, end;
} index_row;

/* An open-addressing table of hashes: the mask of its slots, then the slots, 0 where they are empty. Behind them a
   filter, eight bits a slot: it is short enough for the cache, and says of most hashes that they are not in the table. */
typedef struct {
    int64_t mask;
    int64_t slots[];
} hash_table;

#endif
