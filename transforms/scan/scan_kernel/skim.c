/* Elements that are plainly unwanted, passed over without a stop. Everything unusual is left to the exact reading. */

enum { SKIM_AHEAD = 84 }; /* bytes that must follow a block's first one: the block, and a key on its last byte */

/* Whether this is CPT or HCPCS in upper or lower case */
static bool is_wanted_type(const uint8_t *data, int64_t start, int64_t end) {
    if (end - start == 3)
        return (word_at(data, start) & 0xDFDFDFu) == 0x545043u; /* CPT, lowest byte first */
    return end - start == 5 && (word_at(data, start) & 0xDFDFDFDFDFu) == 0x5343504348u; /* HCPCS */
}

/* A reference's id has been read; whether it is cited, where that is known already */
static void note_id(scan_state *state, const hash_table *table, int64_t value) {
    state->hash = value;
    if (state->section == REFERENCES_FILTERED)
        state->code = is_cited(table, value) ? WANTED : UNWANTED;
}

/* A string that is the value of a key of interest: wanted, unwanted, or for Python to decide */
static void note_string(
    const uint8_t *data, int64_t start, int64_t end, bool escapes, int64_t key, scan_state *state,
    const hash_table *table) {
    if (key == ID_KEY) {
        note_id(state, table, escapes ? ODD_ID : text_hash(data, start, end));
        return;
    }
    while (start < end && byte_at(data, start) == ' ')
        start++;
    while (start < end && byte_at(data, end - 1) == ' ')
        end--;
    bool odd = escapes;
    for (int64_t i = start; i < end; i++)
        odd |= data[i] > 126;
    if (key == CODE_KEY)
        state->code = odd || is_in_table(table, code_hash(data, start, end)) ? WANTED : UNWANTED;
    else
        state->type = odd || end == start || is_wanted_type(data, start, end) ? WANTED : UNWANTED;
}

/* Likewise a number or literal */
static void note_scalar(
    const uint8_t *data, int64_t start, int64_t end, int64_t key, scan_state *state, const hash_table *table) {
    const int64_t first = byte_at(data, start);
    const bool number = first == '-' || is_digit(first);
    if (key == ID_KEY) {
        note_id(state, table, number ? text_hash(data, start, end) : NO_ID);
    } else if (key == CODE_KEY) {
        const bool plain = number && first != '-' && digits_end(data, start, end) == end;
        const bool wanted = plain ? is_in_table(table, code_hash(data, start, end)) : number;
        state->code = wanted ? WANTED : UNWANTED;
    } else {
        state->type = number ? UNWANTED : WANTED;
    }
}

/* Likewise an object or array: it has no text */
static void note_container(int64_t key, scan_state *state, const hash_table *table) {
    if (key == CODE_KEY)
        state->code = UNWANTED;
    else if (key == TYPE_KEY)
        state->type = WANTED;
    else if (key == ID_KEY)
        note_id(state, table, NO_ID);
}

/* Where the value of a key begins whose closing quote this is; -1 where only the exact reading can tell */
INLINE int64_t own_value(const uint8_t *data, int64_t quote) {
    if (byte_at(data, quote + 1) != ':')
        return -1;
    return byte_at(data, quote + 2) == ' ' ? quote + 3 : quote + 2;
}

/* Whether the billing code at `pos` is short plain text, and none that is wanted */
static bool is_plainly_unwanted(const uint8_t *data, int64_t size, int64_t pos, const hash_table *table) {
    if (pos >= size || byte_at(data, pos) != '"')
        return false;
    const uint64_t ends = quotes_at(data, pos + 1);
    const int64_t end = pos + 1 + lowest_one(ends);
    if (ends == 0 || end >= size || (beyond_code_at(data, pos + 1) & ~ends & (ends - 1)) != 0)
        return false;
    return !is_in_table(table, code_hash(data, pos + 1, end));
}

/* The hash of the id that is the value at `pos`; -1 where only the exact reading can tell */
static int64_t plain_id_hash(const uint8_t *data, int64_t size, int64_t pos) {
    const int64_t digits = integer_digits(data, pos);
    if (digits > 0 && pos + digits < size) /* what ends the number must be the document's own byte */
        return integer_hash(integer_at(data, pos, digits));
    if (byte_at(data, pos) == '"') {
        bool escapes;
        const int64_t end = string_end(data, size, pos + 1, &escapes);
        return end >= 0 && !escapes ? text_hash(data, pos + 1, end) : -1;
    }
    const int64_t end = scalar_end(data, size, pos);
    return end < size && is_number(data, pos, end) ? text_hash(data, pos, end) : -1;
}

typedef struct {
    int64_t pos, depth, braces;
    uint64_t inside;
} place_in_elements;

/* Whether an element of depth 1 may end in this block, or nests too deep: never wrong where it says no */
INLINE bool may_end(int64_t depth, uint64_t opens, uint64_t closes, int64_t closed, int64_t deepest) {
    if ((uint64_t)(depth - closed - 1) < (uint64_t)deepest)
        return false;
    return depth > closed                                      /* nested too deep */
           || depth <= count_ones(closes & LOWER_HALF)         /* an element may end here: in the first half, */
           || depth + count_ones(opens & LOWER_HALF) <= closed /* in the second */;
}

/* Pass over elements that are plainly unwanted, from the brace at `pos`: where to go on, `state` says how.
   Everything unusual is left to the exact reading of next_event: ELEMENT_NEXT, at the element's brace. An element that
   goes on where the data end is handed over as it stands: OWN. Otherwise AFTER_ELEMENT.
   Strings, depth and brackets are counted as in skip_nested, but through all elements without a stop. */
INLINE int64_t skim_as(
    const uint8_t *data, int64_t size, int64_t pos, int64_t kind, scan_state *state, const hash_table *table,
    index_row *index) {
    place_in_elements place = {pos, 0, 0, 0};
    int64_t start = pos, found_id = NO_ID, known = UNKNOWN, seen = 0, at = -1;
    const bool items = kind == ITEMS;
    /* a letter that few other keys have there, and the closing quote, of the key of interest */
    const int64_t far = items ? 7 : 15, last = items ? 13 : 18;
    const uint8_t letter = items ? 'g' : '_';
    int64_t indexed = state->indexed;
    const int64_t rows = state->index_rows, spooled = state->spooled, deepest = state->deepest;
    const int64_t last_block = size - SKIM_AHEAD;
    const int64_t before_pos = (int64_t)((uintptr_t)(data + pos) & (LINE - 1)); /* whole lines are read a quarter faster */
    place.pos -= before_pos;
    uint64_t valid = ALL_ONES << before_pos; /* of the first block's bytes */
    while (at < 0 && place.pos <= last_block) {
        pos = place.pos;
        const uint64_t quotes = quotes_at(data, pos) & valid;
        const uint64_t strings = running_parity(quotes) ^ place.inside, outside = ~strings & valid;
        const uint64_t curly = curly_at(data, pos), odd = oddities_at(data, pos) & strings;
        uint64_t opens = opens_at(data, pos) & outside, closes = closes_at(data, pos) & outside;
        uint64_t keys = quotes & strings & bytes_at(data, pos + far, letter) & quotes_at(data, pos + last);
        valid = ALL_ONES;
        const int64_t closed_all = count_ones(closes);
        if ((keys | odd) == 0 && !may_end(place.depth, opens, closes, closed_all, deepest)) {
            place.depth += count_ones(opens) - closed_all;
            place.braces += count_ones(opens & curly) - count_ones(closes & curly);
            place.inside = 0 - (strings >> 63);
            place.pos += 64;
            continue;
        }
        if (odd != 0) { /* count up to there, for elements that end before it */
            const uint64_t sure = (odd & (0 - odd)) - 1;
            opens &= sure;
            closes &= sure;
            keys &= sure;
        }
        const int64_t closed = count_ones(closes);
        uint64_t left = place.depth - closed <= 0 ? closes : 0;
        int64_t passed = 0;
        while (at < 0 && (keys | left) != 0) {
            /* the next closing bracket that ends an element */
            const uint64_t end = left == 0 ? 0 : closing_of(opens, left, place.depth - passed);
            const uint64_t below = end - 1; /* all ones when there is none */
            while ((keys & below) != 0) {
                const uint64_t bit = keys & (0 - keys), before = bit - 1;
                keys ^= bit;
                if (place.depth + count_ones(opens & before) - count_ones(closes & before) != 1)
                    continue;
                const int64_t quote = pos + lowest_one(bit);
                const int64_t key = key_kind(data, quote + 1, quote + last);
                if (key != CODE_KEY && key != ID_KEY)
                    continue;
                const int64_t value = own_value(data, quote + last);
                bool plain = value >= 0;
                known = UNWANTED;
                if (plain && items) {
                    plain = is_plainly_unwanted(data, size, value, table);
                } else if (plain) {
                    found_id = plain_id_hash(data, size, value);
                    plain = found_id >= 0 && !(kind == REFERENCES_FILTERED && is_cited(table, found_id));
                }
                if (!plain) {
                    at = ELEMENT_NEXT;
                    break;
                }
            }
            if (at >= 0 || end == 0)
                break;
            if (place.braces + count_ones(opens & curly & below) != count_ones(closes & curly & (below | end))) {
                at = ELEMENT_NEXT;
                break;
            }
            const int64_t stop = pos + lowest_one(end) + 1;
            left &= ~(end | below);
            passed = count_ones(closes & (end | below));
            seen++;
            if (kind == REFERENCES_INDEXED)
                index[indexed++] = (index_row){found_id, start + spooled, stop + spooled};
            found_id = NO_ID;
            known = UNKNOWN;
            start = stop + 1;
            if (byte_at(data, stop) != ',' || byte_at(data, start) != '{' || indexed == rows) {
                at = AFTER_ELEMENT;
                start = stop;
            }
        }
        if (at < 0) {
            if (odd != 0) {
                at = ELEMENT_NEXT;
            } else {
                place.inside = 0 - (strings >> 63);
                place.depth += count_ones(opens) - closed;
                place.braces += count_ones(opens & curly) - count_ones(closes & curly);
                place.pos += 64;
                if (place.depth > deepest)
                    at = ELEMENT_NEXT;
            }
        }
    }
    state->seen += seen;
    state->indexed = indexed;
    pos = place.pos;
    if (at < 0 && start < pos) {
        state->state = OWN;
        state->start = start;
        state->code = known;
        state->type = WANTED;
        state->odd = 0;
        state->hash = found_id;
        state->depth = place.depth;
        state->braces = place.braces;
        state->inside = (int64_t)(place.inside & 1);
        state->escaped = 0;
        state->return_to = ELEMENT_ENDED;
        return pos;
    }
    state->state = at < 0 ? ELEMENT_NEXT : at;
    return start;
}

/* Each kind compiled by itself: what it asks for is then known in the loops */
static int64_t skim(
    const uint8_t *data, int64_t size, int64_t pos, int64_t kind, scan_state *state, const hash_table *table,
    index_row *index) {
    if (kind == ITEMS)
        return skim_as(data, size, pos, ITEMS, state, table, index);
    if (kind == REFERENCES_INDEXED)
        return skim_as(data, size, pos, REFERENCES_INDEXED, state, table, index);
    return skim_as(data, size, pos, REFERENCES_FILTERED, state, table, index);
}
