/* A root array's elements, one token after the other where skim.c does not pass over them. */

/* The usual first key of a reference, by a short cut: where to go on behind the brace */
static int64_t usual_id(const uint8_t *data, int64_t size, int64_t pos, scan_state *state, const hash_table *table) {
    if (pos + 30 >= size || byte_at(data, pos) != '"' || !IS_TEXT(data, pos + 1, "provider_group_id\":"))
        return pos;
    const int64_t digits = integer_digits(data, pos + 20);
    if (digits == 0)
        return pos;
    note_id(state, table, integer_hash(integer_at(data, pos + 20, digits)));
    return pos + 20 + digits;
}

/* An object that is an element has begun: where to go on, behind its brace */
static int64_t begin_element(
    const uint8_t *data, int64_t size, int64_t pos, int64_t kind, scan_state *state, const hash_table *table) {
    state->start = pos;
    state->code = kind == RATES ? WANTED : UNKNOWN;
    state->type = WANTED;
    state->odd = 0;
    state->hash = NO_ID;
    state->depth = state->braces = 1;
    state->return_to = ELEMENT_ENDED;
    if (kind == REFERENCES_INDEXED || kind == REFERENCES_FILTERED)
        return usual_id(data, size, pos + 1, state, table);
    return pos + 1;
}

/* The object that is an element has ended before `pos`: an event, or -1 */
static int64_t end_element(int64_t pos, int64_t kind, scan_state *state, index_row *index) {
    const bool wanted = state->odd != 0 || (state->code == WANTED && state->type == WANTED);
    const bool indexes = kind == REFERENCES_INDEXED;
    if (!indexes && (state->stop_at_end != 0 || (wanted && state->start < 0)))
        return ELEMENT;
    if (indexes) {
        const int64_t hash = state->odd != 0 ? ODD_ID : state->hash;
        index[state->indexed] = (index_row){hash, state->start + state->spooled, pos + state->spooled};
    } else if (wanted) {
        index[state->indexed] = (index_row){0, state->start, pos};
    }
    state->seen += !wanted || indexes;
    state->start = NOWHERE;
    state->indexed += wanted || indexes;
    return (wanted || indexes) && state->indexed == state->index_rows ? INDEX_FULL : -1;
}

/* Go on through the section's elements from `pos` up to the next event.
   ELEMENT: an object that began in an earlier block has ended before `pos`, and is wanted or for Python to decide.
   SECTION_END: the array closed (or, with `single`, its one element ended).
   INDEX_FULL: put away the `indexed` rows of `index`: objects that ended and may be wanted.
   NEED_MORE: likewise; then put the bytes from `pos` on in front of the next block's.
   BAD: the text is not JSON, at `pos`, for the reason `error`.
   Places in the index are distances from data[0], of REFERENCES_INDEXED from their section's first byte. */
PUBLIC int64_t EXPORTED(next_event)(
    const uint8_t *data, int64_t size, scan_state *state, const hash_table *table, index_row *index) {
    int64_t pos = state->pos, at = state->state, event = -1, error = 0;
    const int64_t kind = state->section;
    int64_t exact = -1; /* the element that begins here is not to be skimmed */
    const bool can_skim = state->stop_at_end == 0 && state->single == 0 && kind != RATES;
    while (event < 0) {
        if (at == STRING) {
            int64_t on;
            const int64_t end = skip_string(data, size, pos, &on);
            if (end < 0) {
                pos = end == -1 ? on : -2 - end;
                error = BAD_STRING;
                event = end == -1 ? NEED_MORE : BAD;
                break;
            }
            pos = end + 1;
            at = state->return_to;
        } else if (at >= OWN) {
            const int64_t end = skip_nested(data, size, pos, state, at == OWN ? kind : NO_SECTION);
            if (end >= 0) {
                pos = end;
                at = at == OWN ? ELEMENT_ENDED : state->return_to;
            } else if (end <= -3) {
                pos = -3 - end;
                if (byte_at(data, pos) == '"') {
                    at = OWN_STRING;
                } else {
                    state->key = ESCAPED_KEY;
                    state->return_to = AFTER_OWN_STRING;
                    at = STRING;
                    continue;
                }
            } else {
                pos = end == -1 ? size : state->pos;
                error = state->error;
                event = end == -1 ? NEED_MORE : BAD;
                break;
            }
        }
        if (at == ELEMENT_ENDED) {
            at = AFTER_ELEMENT;
            event = end_element(pos, kind, state, index);
            continue;
        }
        if (pos < size && byte_at(data, pos) <= ' ')
            pos = skip_blanks(data, size, pos);
        if (pos >= size) {
            pos = size;
            event = NEED_MORE;
            break;
        }
        const int64_t byte = byte_at(data, pos);
        if (at == OWN_STRING) {
            bool escapes;
            const int64_t end = string_end(data, size, pos + 1, &escapes);
            if (end == -1 && size - pos <= 64) {
                event = NEED_MORE;
                break;
            }
            if (end < 0) { /* a long one, or a wrong one; should it be a key, then Python decides */
                state->key = ESCAPED_KEY;
                state->return_to = AFTER_OWN_STRING;
                pos++;
                at = STRING;
                continue;
            }
            int64_t key = escapes ? ESCAPED_KEY : key_kind(data, pos + 1, end);
            if (!escapes && (kind == ITEMS) == (key == ID_KEY))
                key = OTHER_KEY;
            state->key = key;
            pos = end + 1;
            at = AFTER_OWN_STRING;
        } else if (at == AFTER_OWN_STRING) {
            at = OWN;
            if (byte == ':') { /* so it was a key */
                pos++;
                if (state->key == ESCAPED_KEY)
                    state->odd = 1;
                else if (state->key != OTHER_KEY)
                    at = VALUE;
            }
        } else if (at == VALUE) {
            const int64_t key = state->key;
            at = OWN;
            if (byte == '"') {
                bool escapes;
                const int64_t end = string_end(data, size, pos + 1, &escapes);
                if (end < 0) {
                    at = VALUE;
                    pos = end == -1 ? pos : -2 - end;
                    error = BAD_STRING;
                    event = end == -1 ? NEED_MORE : BAD;
                    break;
                }
                note_string(data, pos + 1, end, escapes, key, state, table);
                pos = end + 1;
            } else if (byte == '{' || byte == '[') {
                note_container(key, state, table);
            } else {
                const int64_t digits = key == ID_KEY ? integer_digits(data, pos) : 0;
                if (digits > 0 && pos + digits < size) {
                    note_id(state, table, integer_hash(integer_at(data, pos, digits)));
                    pos += digits;
                    continue;
                }
                const int64_t end = scalar_end(data, size, pos);
                if (end >= size) {
                    at = VALUE;
                    event = NEED_MORE;
                    break;
                }
                if (!is_scalar(data, pos, end)) {
                    error = end > pos ? BAD_SCALAR : BAD_VALUE;
                    event = BAD;
                    break;
                }
                note_scalar(data, pos, end, key, state, table);
                pos = end;
            }
        } else if (at == AFTER_ELEMENT) {
            if (state->single != 0) {
                event = SECTION_END;
            } else if (byte == ',') {
                at = ELEMENT_NEXT;
                pos++;
            } else if (byte == ']') {
                pos++;
                event = SECTION_END;
            } else {
                error = BAD_SEPARATOR;
                event = BAD;
            }
        } else if (byte == '{' && pos != exact && can_skim) {
            exact = pos;
            pos = skim(data, size, pos, kind, state, table, index);
            at = state->state;
            if (at == ELEMENT_NEXT)
                exact = pos;
            else if (at == AFTER_ELEMENT && state->indexed == state->index_rows)
                event = INDEX_FULL;
        } else if (byte == '{') {
            pos = begin_element(data, size, pos, kind, state, table);
            at = kind == RATES ? NESTED : OWN;
        } else if (byte == ']' && at == ELEMENT_OR_END) {
            pos++;
            event = SECTION_END;
        } else if (byte == '[' || byte == '"') {
            state->others++;
            at = byte == '[' ? NESTED : STRING;
            state->return_to = AFTER_ELEMENT;
            state->depth = 1;
            state->braces = 0;
            pos++;
        } else {
            const int64_t end = scalar_end(data, size, pos);
            if (end >= size) {
                event = NEED_MORE;
            } else if (!is_scalar(data, pos, end)) {
                error = end > pos ? BAD_SCALAR : BAD_ELEMENT;
                event = BAD;
            } else {
                if (is_null(data, pos, end))
                    state->nulls++;
                else
                    state->others++;
                pos = end;
                at = AFTER_ELEMENT;
            }
        }
    }
    state->pos = pos;
    state->state = at;
    state->error = error;
    return event;
}
