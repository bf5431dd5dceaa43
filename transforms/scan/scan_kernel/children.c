/* Which children of an open object or array are complete: what reading tables of contents needs. */

enum { CHILDREN_NEED_MORE, CHILDREN_CLOSED, CHILDREN_TOO_DEEP };
enum { LONG_BLOCKS = 60 }; /* of 64 digits each: CPython refuses integers from 4,300 digits on */

typedef struct {
    int64_t scanned;     /* up to where */
    int64_t depth;       /* brackets open within a child */
    int64_t deepest;     /* how many may be */
    int64_t inside;      /* whether a string is open */
    int64_t escaped;     /* whether the next byte is escaped */
    int64_t cut;         /* the comma behind the last complete child, or NOWHERE */
    int64_t digits;      /* blocks of nothing but digits in a row */
    int64_t long_number; /* whether so many digits stand in a row that not every parser takes them for a number */
} children_state;

/* Go on through the children of an object or array, up to its closing bracket or the end of the data.
   CLOSED: its closing bracket stands at `scanned`. NEED_MORE: the data ended; see `cut`. TOO_DEEP: more than `deepest`
   brackets are open inside a child, at `scanned`.
   Brackets outside strings are counted, whatever their kind: whoever decodes the children checks the rest. */
PUBLIC int64_t EXPORTED(complete_children)(const uint8_t *data, int64_t size, children_state *state) {
    int64_t pos = state->scanned, depth = state->depth, digits = state->digits;
    const int64_t deepest = state->deepest;
    uint64_t inside = 0 - (uint64_t)state->inside, escaped = (uint64_t)state->escaped;
    for (; pos < size; pos += 64) {
        const int64_t lanes = size - pos, last_lane = lanes < 64 ? lanes - 1 : 63;
        const uint64_t valid = first_lanes(lanes);
        const uint64_t slashes = slashes_at(data, pos) & valid;
        const uint64_t quotes = without_escaped(quotes_at(data, pos) & valid, slashes, &escaped, last_lane);
        const uint64_t strings = running_parity(quotes) ^ inside;
        inside = 0 - (strings >> last_lane & 1);
        const uint64_t outside = ~strings & valid;
        const uint64_t opens = opens_at(data, pos) & outside, closes = closes_at(data, pos) & outside;
        if (quotes == 0 && (digits_at(data, pos) | ~valid) == ALL_ONES)
            digits++;
        else
            digits = 0;
        if (digits > LONG_BLOCKS)
            state->long_number = 1;
        const int64_t opened = count_ones(opens), closed = count_ones(closes);
        if (depth > closed && depth + opened <= deepest) { /* stays within one child */
            depth += opened - closed;
            continue;
        }
        uint64_t marks = opens | closes | (bytes_at(data, pos, ',') & outside);
        for (; marks != 0; marks &= marks - 1) {
            const uint64_t bit = marks & (0 - marks);
            const int64_t place = pos + lowest_one(bit);
            if ((opens & bit) != 0) {
                if (++depth > deepest) {
                    state->scanned = place;
                    return CHILDREN_TOO_DEEP;
                }
            } else if ((closes & bit) != 0) {
                if (depth == 0) {
                    state->scanned = place;
                    return CHILDREN_CLOSED;
                }
                depth--;
            } else if (depth == 0) {
                state->cut = place;
            }
        }
    }
    state->scanned = size;
    state->depth = depth;
    state->inside = (int64_t)(inside & 1);
    state->escaped = (int64_t)escaped;
    state->digits = digits;
    return CHILDREN_NEED_MORE;
}
