/* Strings, numbers and literals by themselves. */

/* The closing quote of the string whose content begins at `pos`; -1 when the data end before, and -2 - place of a
   control character or of an escape that is none. `escapes`: whether it holds an escape. */
static int64_t string_end(const uint8_t *data, int64_t size, int64_t pos, bool *escapes) {
    *escapes = false;
    while (pos < size) {
        const uint64_t stops = quotes_at(data, pos) | slashes_at(data, pos) | controls_at(data, pos);
        if (stops == 0) {
            pos += 64;
            continue;
        }
        pos += lowest_one(stops);
        if (pos >= size)
            break;
        int64_t byte = byte_at(data, pos);
        if (byte == '"')
            return pos;
        if (byte != '\\')
            return -2 - pos;
        *escapes = true;
        if (pos + 1 >= size)
            break;
        byte = byte_at(data, pos + 1);
        if (byte == 'u') { /* and four hexadecimal digits */
            if (pos + 6 > size)
                break;
            for (int64_t place = pos + 2; place < pos + 6; place++) {
                const int64_t digit = byte_at(data, place), letter = digit | 32;
                if (!((digit >= '0' && digit <= '9') || (letter >= 'a' && letter <= 'f')))
                    return -2 - pos;
            }
            pos += 6;
        } else if (byte == '"' || byte == '\\' || byte == '/' || byte == 'b' || byte == 'f' || byte == 'n' ||
                   byte == 'r' || byte == 't') {
            pos += 2;
        } else {
            return -2 - pos;
        }
    }
    return -1;
}

/* Past a string that is only passed over: its closing quote; or -1, and in `on` where to go on once there are more
   data; or -2 - place of what is wrong. */
static int64_t skip_string(const uint8_t *data, int64_t size, int64_t pos, int64_t *on) {
    *on = 0;
    while (pos < size) {
        const uint64_t stops = quotes_at(data, pos) | slashes_at(data, pos) | controls_at(data, pos);
        if (stops == 0) {
            pos = pos + 64 < size ? pos + 64 : size;
            continue;
        }
        pos += lowest_one(stops);
        if (pos >= size)
            break;
        const int64_t byte = byte_at(data, pos);
        if (byte == '"')
            return pos;
        if (byte != '\\')
            return -2 - pos;
        bool escapes;
        const int64_t end = string_end(data, size < pos + 7 ? size : pos + 7, pos, &escapes); /* checks this escape */
        if (end <= -2 && -2 - end == pos)
            return end;
        const int64_t length = pos + 1 < size && byte_at(data, pos + 1) == 'u' ? 6 : 2;
        if (pos + length > size) {
            *on = pos;
            return -1;
        }
        pos += length;
    }
    *on = size;
    return -1;
}

/* The first byte from `pos` on other than white space, or `size` */
static int64_t skip_blanks(const uint8_t *data, int64_t size, int64_t pos) {
    while (pos < size) {
        const uint64_t others = ~blanks_at(data, pos);
        if (others != 0) {
            pos += lowest_one(others);
            break;
        }
        pos += 64;
    }
    return pos < size ? pos : size;
}

/* Past the number or literal at `pos`; `size` when the data end first */
static int64_t scalar_end(const uint8_t *data, int64_t size, int64_t pos) {
    while (pos < size) {
        switch (byte_at(data, pos)) {
        case ',': case '}': case ']': case ' ': case '\n': case '\r': case '\t': case ':': case '"': case '{': case '[':
            return pos;
        default:
            pos++;
        }
    }
    return pos;
}

INLINE bool is_digit(int64_t byte) { return byte >= '0' && byte <= '9'; }

static int64_t digits_end(const uint8_t *data, int64_t pos, int64_t end) {
    while (pos < end && is_digit(byte_at(data, pos)))
        pos++;
    return pos;
}

/* Whether these bytes are one JSON number */
static bool is_number(const uint8_t *data, int64_t start, int64_t end) {
    int64_t pos = start;
    if (pos < end && byte_at(data, pos) == '-')
        pos++;
    if (pos >= end || !is_digit(byte_at(data, pos)))
        return false;
    pos = byte_at(data, pos) == '0' ? pos + 1 : digits_end(data, pos, end);
    if (pos < end && byte_at(data, pos) == '.') {
        const int64_t first = pos + 1;
        pos = digits_end(data, first, end);
        if (pos == first)
            return false;
    }
    if (pos < end && (byte_at(data, pos) | 32) == 'e') {
        pos++;
        if (pos < end && (byte_at(data, pos) == '+' || byte_at(data, pos) == '-'))
            pos++;
        const int64_t first = pos;
        pos = digits_end(data, first, end);
        if (pos == first)
            return false;
    }
    return pos == end;
}

/* `length` bytes of text at `place`, which may be compared although fewer count: see PADDING */
#define IS_TEXT(data, place, text) (memcmp((data) + (place), text, sizeof(text) - 1) == 0)

static bool is_null(const uint8_t *data, int64_t start, int64_t end) {
    return end - start == 4 && IS_TEXT(data, start, "null");
}

/* Whether these bytes are one JSON number, true, false or null */
static bool is_scalar(const uint8_t *data, int64_t start, int64_t end) {
    if (end - start == 4 && (IS_TEXT(data, start, "null") || IS_TEXT(data, start, "true")))
        return true;
    if (end - start == 5 && IS_TEXT(data, start, "false"))
        return true;
    return is_number(data, start, end);
}

/* Which key of interest this is */
INLINE int64_t key_kind(const uint8_t *data, int64_t start, int64_t end) {
    if (end - start == 12)
        return IS_TEXT(data, start, "billing_code") ? CODE_KEY : OTHER_KEY;
    if (end - start == 17) {
        if (IS_TEXT(data, start, "billing_code_type"))
            return TYPE_KEY;
        if (IS_TEXT(data, start, "provider_group_id"))
            return ID_KEY;
    }
    return OTHER_KEY;
}
