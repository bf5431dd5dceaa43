/* Objects and arrays that are passed over: strings, escapes and depth are exact, nothing else is looked at. */

/* Takes escaped quotes out of a block's quotes; `escaped` goes from one block to the next. */
INLINE uint64_t without_escaped(uint64_t quotes, uint64_t slashes, uint64_t *escaped, int64_t last_lane) {
    const uint64_t escapes = slashes | *escaped;
    if (escapes == 0)
        return quotes;
    const uint64_t potential = slashes & ~*escaped;
    const uint64_t evens = ((potential << 1) | ODD_BITS) - potential;
    const uint64_t terminals = evens ^ ODD_BITS;
    *escaped = ((terminals & slashes) >> last_lane) & 1;
    return quotes & ~(terminals ^ escapes);
}

static int64_t refuse(scan_state *state, int64_t error, int64_t pos) {
    state->error = error;
    state->pos = pos;
    return -2;
}

/* The first closing bracket that leaves `own` open no more: its bit, or 0 */
INLINE uint64_t closing_of(uint64_t opens, uint64_t closes, int64_t depth) {
    uint64_t found = 0;
    int64_t before = depth - 1;
    while (closes != 0 && found == 0) {
        for (int i = 0; i < 4; i++) { /* branchless: how many brackets there are can't be predicted */
            const uint64_t bit = closes & (0 - closes);
            const uint64_t here = before + count_ones(opens & (bit - 1)) == 0 ? bit : 0;
            found = found == 0 ? here : found;
            closes ^= bit;
            before--;
        }
    }
    return found;
}

/* Past the end of the container that has begun (`depth` brackets are open); -1 when the data end before, -2 bad.
   Of each kind of bracket as many must close as opened, and a string holds no control character.
   With a `kind` of section, the container is one of its elements: -3 - place stops at a string of the element's own
   that could be a key of interest (place is its quote), or that holds an escape (place is the backslash). */
static int64_t skip_nested(const uint8_t *data, int64_t size, int64_t pos, scan_state *state, int64_t kind) {
    int64_t depth = state->depth, braces = state->braces;
    const int64_t deepest = state->deepest;
    uint64_t inside = 0 - (uint64_t)state->inside, escaped = (uint64_t)state->escaped;
    /* "billing_code" and "billing_code_type", or "provider_group_id": letters, and how far behind the closing quote */
    const int64_t near = kind == ITEMS ? 8 : 9, far = kind == ITEMS ? 10 : 16, last = kind == ITEMS ? 13 : 18;
    const uint8_t far_byte = kind == ITEMS ? 'o' : 'i';
    const int64_t own = kind >= 0;
    while (pos < size) {
        const int64_t lanes = size - pos, last_lane = lanes < 64 ? lanes - 1 : 63;
        const uint64_t valid = first_lanes(lanes);
        const uint64_t slashes = slashes_at(data, pos) & valid;
        const uint64_t quotes = without_escaped(quotes_at(data, pos) & valid, slashes, &escaped, last_lane);
        const uint64_t strings = running_parity(quotes) ^ inside; /* ones from an opening quote up to its closing one */
        inside = 0 - (strings >> last_lane & 1);
        const uint64_t opens = opens_at(data, pos) & valid & ~strings, closes = closes_at(data, pos) & valid & ~strings;
        const uint64_t controls = controls_at(data, pos) & valid & strings;
        const uint64_t curly = curly_at(data, pos), opening = opens & curly, closing = closes & curly;
        const int64_t closed = count_ones(closes), lower = count_ones(closes & LOWER_HALF);
        if (depth - lower > own && depth + count_ones(opens & LOWER_HALF) - closed > own) { /* deep inside */
            if (UNLIKELY(controls != 0))
                return refuse(state, BAD_STRING, pos + lowest_one(controls));
            depth += count_ones(opens) - closed;
            braces += count_ones(opening) - count_ones(closing);
            if (UNLIKELY(depth > deepest))
                return refuse(state, TOO_DEEP, pos);
            pos += 64;
            continue;
        }
        const uint64_t found = closing_of(opens, closes, depth);
        const uint64_t upto = found | (found - 1); /* all ones when the end is not here */
        if (kind >= 0) {
            uint64_t candidates = quotes & strings;
            if (candidates != 0 && lanes >= 64 + 20) {
                const uint64_t ends = quotes_at(data, pos + 18) | quotes_at(data, pos + last);
                candidates &= bytes_at(data, pos + near, '_') & bytes_at(data, pos + far, far_byte) & ends;
            }
            candidates = (candidates | (slashes & strings)) & upto;
            for (; candidates != 0; candidates &= candidates - 1) {
                const uint64_t below = (candidates & (0 - candidates)) - 1;
                if (depth + count_ones(opens & below) - count_ones(closes & below) != 1)
                    continue;
                const int64_t place = pos + lowest_one(candidates);
                if ((controls & below) != 0)
                    return refuse(state, BAD_STRING, pos + lowest_one(controls));
                if (braces + count_ones(opening & below) - count_ones(closing & below) != 1)
                    return refuse(state, BAD_NESTING, place);
                state->depth = state->braces = 1;
                state->inside = state->escaped = 0;
                return -3 - place;
            }
        }
        if ((controls & upto) != 0)
            return refuse(state, BAD_STRING, pos + lowest_one(controls));
        braces += count_ones(opening & upto) - count_ones(closing & upto);
        if (found != 0) {
            const int64_t place = pos + lowest_one(found);
            if (braces != 0)
                return refuse(state, BAD_NESTING, place);
            state->inside = state->escaped = 0;
            return place + 1;
        }
        depth += count_ones(opens) - closed;
        pos += 64;
    }
    state->depth = depth;
    state->braces = braces;
    state->inside = (int64_t)(inside & 1);
    state->escaped = (int64_t)escaped;
    return -1;
}

/* Pass over a root value that has begun and is of no interest: NEED_MORE, ELEMENT once past it, or BAD */
PUBLIC int64_t EXPORTED(skip_value)(const uint8_t *data, int64_t size, scan_state *state) {
    if (state->state == NESTED) {
        const int64_t end = skip_nested(data, size, state->pos, state, NO_SECTION);
        if (end == -2)
            return BAD;
        state->pos = end == -1 ? size : end;
        return end == -1 ? NEED_MORE : ELEMENT;
    }
    int64_t on;
    const int64_t end = skip_string(data, size, state->pos, &on);
    if (end == -1) {
        state->pos = on;
        return NEED_MORE;
    }
    if (end < 0) {
        (void)refuse(state, BAD_STRING, -2 - end);
        return BAD;
    }
    state->pos = end + 1;
    return ELEMENT;
}
