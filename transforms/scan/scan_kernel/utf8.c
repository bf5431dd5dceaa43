/* Whether bytes are UTF-8, over the edges of blocks. */

typedef struct {
    int64_t needed, low, high; /* bytes that a character still needs, and what the next one may be */
} utf8_state;

/* The place of the first byte that is not UTF-8, or -1 */
PUBLIC int64_t EXPORTED(check_utf8)(const uint8_t *data, int64_t start, int64_t size, utf8_state *state) {
    int64_t pos = start, needed = state->needed, low = state->low, high = state->high;
    for (; pos < size; pos++) {
        if (needed > 0) {
            if (data[pos] < low || data[pos] > high)
                return pos;
            low = 0x80;
            high = 0xBF;
            needed--;
            continue;
        }
        uint64_t beyond;
        while ((beyond = beyond_ascii_at(data, pos)) == 0 && pos + 64 < size)
            pos += 64;
        pos += lowest_one(beyond);
        if (pos >= size)
            break;
        const uint8_t byte = data[pos];
        low = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
        high = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
        if (byte >= 0xC2 && byte <= 0xDF)
            needed = 1;
        else if (byte >= 0xE0 && byte <= 0xEF)
            needed = 2;
        else if (byte >= 0xF0 && byte <= 0xF4)
            needed = 3;
        else
            return pos;
    }
    *state = (utf8_state){needed, low, high};
    return -1;
}
