/* What decoding fills: columns of rows, and the texts in them, each distinct one once.

   A text is interned by its raw bytes and the rule that will clean it; Python cleans each, and says so in its `state`
   and `value`. An element whose texts are not all read is taken back, and decoded again once they are. Rooms are counts
   that never are exceeded: an element that does not fit is taken back, too. */

#ifndef COLUMNS_H
#define COLUMNS_H

#include "kernel.h"

/* By which rule a text is cleaned */
enum { AS_TEXT, AS_CLASS, AS_CODES, AS_NAMES, AS_DATE, AS_RATE, AS_NPI, AS_TIN, AS_KEY, AS_CODE, AS_CODE_TYPE, RULES };
enum { UNREAD, READ, REFUSED }; /* text.state; an element with a refused one is for the plain grammar */

/* Why decoding stopped in front of an element */
enum { DECODED, ODD_ELEMENT, NO_ROOM, TEXTS_UNREAD, MOSTLY_UNWANTED };

#define NO_KEY (-1)            /* the key of a reference without an id; Python numbers text ids below it */
#define BLANK_NPI INT64_MIN    /* an NPI that is null */
enum { NPIS_PER_ROW = 10000 }; /* a longer group is several rows */
enum { LANES = 4 };            /* NPIs behind those that there is room for: they are read, and do not count */

typedef struct {
    int64_t rule, state, offset, length, number; /* number: among the texts of its rule */
    int64_t value; /* what Python made of it: a rate's bits, an NPI, a key, whether a code is wanted */
} text;

typedef struct {
    uint64_t hash;
    int64_t place; /* one more than the text's, 0: empty */
} text_slot;

typedef struct {
    int32_t type, class, setting, codes, modifiers, date; /* numbers of texts */
} price_texts;

enum { FORMS = 512, FORM_SIZE = 1024, FORM_BYTES = FORM_SIZE - 40 };

typedef struct {
    int64_t head, tail; /* bytes in front of the rate (0: no form) and behind it */
    price_texts texts;
    uint8_t bytes[FORM_BYTES];
} price_form; /* see forms.c */
_Static_assert(sizeof(price_form) == FORM_SIZE, "Python gives them their memory");

typedef struct {
    int64_t number_digits, value_bytes, string_bytes, list_bytes; /* longer ones are for the plain grammar */
    int64_t stopped;
    int64_t base, offset; /* in the document: of data[0], and of the element that is decoded */
    int64_t items_seen, items_matched, references_seen, next_rate, next_reference;
    int64_t singles, nulls; /* quirks: single values where arrays belong, nulls where objects belong */
    int64_t cited_count;
    const int64_t *cited; /* keys in ascending order */

    int64_t text_count, text_room, byte_count, byte_room, slot_mask, unread;
    text *texts;
    uint8_t *bytes;
    text_slot *slots;
    int64_t numbers[RULES];

    int64_t item_count, item_room;
    int32_t *item_arrangement, *item_code, *item_code_type;
    int64_t *item_first, *item_end, *item_offset;

    price_form *forms;
    int64_t price_count, price_room;
    int64_t *price_rate;
    double *price_amount; /* NaN: none */
    int32_t *price_type, *price_class, *price_setting, *price_codes, *price_modifiers, *price_date;

    int64_t citation_count, citation_room;
    int64_t *citation_rate, *citation_key;

    int64_t group_count, group_room, digit_count, digit_room, npi_count, npi_room, blanks;
    int64_t *group_owner, *group_size; /* owner: rate or reference */
    int32_t *group_tin_type, *group_tin, *group_name, *group_digits_end, *group_npis_end; /* tin: 0, or the text that it is cleaned from */
    uint8_t *digits;
    int64_t *npis;

    int64_t reference_count, reference_room;
    int64_t *reference_no, *reference_key, *reference_groups, *reference_offset;
    int32_t *reference_location, *reference_networks;
} columns;

#endif
