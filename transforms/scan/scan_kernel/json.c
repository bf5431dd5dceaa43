/* Values of an element that is decoded: all of their syntax is checked. Functions take where a value begins and give
   where it ends, or NULL for what is odd: no JSON, or beyond what is decoded here. */

typedef const uint8_t *place;

/* The next byte other than white space; NULL at the end */
INLINE place at_next(place p, place end) {
    if (UNLIKELY(p < end && *p <= ' '))
        p += skip_blanks(p, end - p, 0);
    return p < end ? p : NULL;
}

/* The closing quote of the string that opens at `p`; `escapes` whether it holds some */
INLINE place closing_quote(place p, place end, bool *escapes) {
    place at = p + 1;
    *escapes = false;
    while (at < end) {
        const uint64_t stops = stops_at(at, 0);
        if (stops != 0) {
            at += lowest_one(stops);
            if (at >= end)
                return NULL;
            if (*at == '"')
                return at;
            const int64_t found = string_end(at, end - at, 0, escapes); /* from the escape on */
            return found >= 0 ? at + found : NULL;
        }
        at += 64;
    }
    return NULL;
}

/* Past the scalar at `p` */
static place past_scalar(const columns *c, place p, place end) {
    if (*p == '"') {
        bool escapes;
        const place quote = closing_quote(p, end, &escapes);
        return quote != NULL && quote - p - 1 <= c->string_bytes ? quote + 1 : NULL;
    }
    const int64_t size = scalar_end(p, end - p, 0);
    return size <= c->number_digits && is_scalar(p, 0, size) ? p + size : NULL;
}

/* Past the key at `p` and its colon, to where the value begins */
INLINE place past_key(place p, place end, place *quote) {
    bool escapes;
    if (*p != '"' || (*quote = closing_quote(p, end, &escapes)) == NULL || escapes)
        return NULL;
    p = *quote + 1;
    if (UNLIKELY(*p != ':') && ((p = at_next(p, end)) == NULL || *p != ':'))
        return NULL;
    return at_next(p + 1, end);
}

/* Past a value of any kind that nests no deeper than a word has bits */
static place past_value(const columns *c, place p, place end) {
    uint64_t objects = 0; /* which of the open brackets are braces, the innermost one lowest */
    int64_t depth = 0;
    place quote;
    while (true) {
        const bool opens = *p == '{' || *p == '[';
        if (opens) {
            if (++depth > 60)
                return NULL;
            objects = objects << 1 | (*p == '{');
            if ((p = at_next(p + 1, end)) == NULL)
                return NULL;
            if (*p != (objects & 1 ? '}' : ']')) {
                if ((objects & 1) && (p = past_key(p, end, &quote)) == NULL)
                    return NULL;
                continue;
            }
        } else if ((p = past_scalar(c, p, end)) == NULL) {
            return NULL;
        }
        while (depth > 0) { /* behind a value, or at the closing bracket of an empty one */
            if ((p = at_next(p, end)) == NULL)
                return NULL;
            if (*p == (objects & 1 ? '}' : ']')) {
                p++;
                objects >>= 1;
                depth--;
                continue;
            }
            if (*p != ',' || (p = at_next(p + 1, end)) == NULL)
                return NULL;
            if ((objects & 1) && (p = past_key(p, end, &quote)) == NULL)
                return NULL;
            break;
        }
        if (depth == 0)
            return p;
    }
}

/* Behind a value in an object or array: at the next one (or its key), or past the closing bracket, which ends it */
INLINE place past_separator(place p, place end, uint8_t closing, bool *more) {
    if (UNLIKELY(*p <= ' ') && (p = at_next(p, end)) == NULL)
        return NULL;
    if (p >= end)
        return NULL;
    *more = *p == ',';
    if (*more)
        return at_next(p + 1, end);
    return *p == closing ? p + 1 : NULL;
}

/* At the first value (or key) in the object or array at `p`, or past it where it is empty */
INLINE place past_opening(place p, place end, uint8_t closing, bool *more) {
    if ((p = at_next(p + 1, end)) == NULL)
        return NULL;
    *more = *p != closing;
    return *more ? p : p + 1;
}

/* Past `null`, or NULL */
INLINE place past_null(place p, place end) {
    return end - p > 4 && IS_TEXT(p, 0, "null") && scalar_end(p, end - p, 0) == 4 ? p + 4 : NULL;
}
