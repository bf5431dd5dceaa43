/* Hashes of codes and ids, and the tables that they are looked up in. None leaves the process. */

enum { TEXT_SEED = 1, NUMBER_SEED = 2, MAX_EXPONENT = 1000000 };
#define FNV_BASIS 0xCBF29CE484222325u
#define FNV_PRIME 0x100000001B3u
#define GOLDEN 0x9E3779B97F4A7C15u

/* Thirty-two bits above the reserved values */
INLINE int64_t as_hash(uint64_t value) { return (int64_t)(value & 0xFFFFFFFFu) | 2; }

INLINE uint64_t mixed(uint64_t value) {
    value ^= value >> 32;
    value *= GOLDEN;
    value ^= value >> 29;
    return value >> 2;
}

static uint64_t hash_bytes(const uint8_t *data, int64_t start, int64_t end, uint64_t seed) {
    uint64_t value = FNV_BASIS ^ seed;
    for (int64_t i = start; i < end; i++)
        value = (value ^ data[i]) * FNV_PRIME;
    return mixed(value);
}

/* The hash of a whole number below 10 ** 15, however it is written */
INLINE int64_t integer_hash(uint64_t value) {
    uint64_t hash = (value + GOLDEN) * 0xBF58476D1CE4E5B9u;
    hash ^= hash >> 29;
    hash *= 0x94D049BB133111EBu;
    return as_hash(hash >> 32);
}

/* A hash of the number that is written here, the same for every spelling of it; -1: no number, ODD_ID: too odd.
   Takes what clean.reference_key takes for a number: sign, digits with or without a point, exponent. */
static int64_t number_hash(const uint8_t *data, int64_t start, int64_t end) {
    int64_t pos = start;
    bool negative = false;
    if (pos < end && (byte_at(data, pos) == '+' || byte_at(data, pos) == '-'))
        negative = byte_at(data, pos++) == '-';
    uint64_t value = FNV_BASIS ^ NUMBER_SEED;
    uint64_t whole = 0; /* wraps where there are too many digits, and is not used then */
    int64_t pending = 0; /* zeros that count only when a digit follows */
    int64_t significant = 0, fraction = 0, digits = 0;
    bool point = false;
    for (; pos < end; pos++) {
        const int64_t byte = byte_at(data, pos);
        if (is_digit(byte)) {
            digits++;
            fraction += point;
            if (byte == '0') {
                pending += significant > 0;
                continue;
            }
            for (int64_t i = 0; i < pending; i++) {
                value = (value ^ '0') * FNV_PRIME;
                whole *= 10;
            }
            significant += pending + 1;
            pending = 0;
            whole = whole * 10 + (uint64_t)(byte - '0');
            value = (value ^ (uint64_t)byte) * FNV_PRIME;
        } else if (byte == '.' && !point) {
            point = true;
        } else {
            break;
        }
    }
    if (digits == 0)
        return -1;
    int64_t exponent = 0;
    if (pos < end) {
        if ((byte_at(data, pos) | 32) != 'e')
            return -1;
        pos++;
        bool minus = false;
        if (pos < end && (byte_at(data, pos) == '+' || byte_at(data, pos) == '-'))
            minus = byte_at(data, pos++) == '-';
        if (pos >= end)
            return -1;
        for (; pos < end; pos++) {
            if (!is_digit(byte_at(data, pos)))
                return -1;
            if (exponent < 1000000000000000)
                exponent = exponent * 10 + byte_at(data, pos) - '0';
        }
        if (minus)
            exponent = -exponent;
    }
    if (significant == 0)
        return integer_hash(0);
    exponent += pending - fraction;
    if (!negative && exponent >= 0 && significant + exponent <= 15) {
        for (int64_t i = 0; i < exponent; i++)
            whole *= 10;
        return integer_hash(whole);
    }
    if (exponent <= -MAX_EXPONENT || exponent >= MAX_EXPONENT)
        return ODD_ID;
    value ^= (uint64_t)(exponent + MAX_EXPONENT) * GOLDEN;
    if (negative)
        value = ~value;
    return (int64_t)mixed(value);
}

#define EIGHT_ZEROS 0x3030303030303030u

/* Of eight bytes of text that were XORed with EIGHT_ZEROS: the high bit of each that is not a digit, and their value */
INLINE uint64_t no_digits(uint64_t word) { return ((word + 0x7676767676767676u) | word) & 0x8080808080808080u; }
INLINE uint64_t value_of(uint64_t word) {
    word = (word * 10 + (word >> 8)) & 0x00FF00FF00FF00FFu;
    word = (word * 100 + (word >> 16)) & 0x0000FFFF0000FFFFu;
    return (word * 10000 + (word >> 32)) & 0xFFFFFFFFu;
}

/* How many digits stand at `pos`, up to eight */
INLINE int64_t leading_digits(const uint8_t *data, int64_t pos) {
    return lowest_one(no_digits(word_at(data, pos) ^ EIGHT_ZEROS)) >> 3;
}

/* The value of one to eight digits, all at once */
INLINE uint64_t integer_at(const uint8_t *data, int64_t pos, int64_t digits) {
    return value_of((word_at(data, pos) ^ EIGHT_ZEROS) << (64 - 8 * digits));
}

/* How many digits the plain integer at `pos` has, up to seven; 0 where it is longer or anything else */
INLINE int64_t integer_digits(const uint8_t *data, int64_t pos) {
    const int64_t digits = leading_digits(data, pos), after = byte_at(data, pos + digits);
    if (digits > 0 && digits < 8 && (after == ',' || after == '}') && (digits == 1 || byte_at(data, pos) != '0'))
        return digits;
    return 0;
}

/* A hash of an id written as text without escapes: of its number where it is numeric, else of its trimmed text.
   ODD_ID where only Python can tell. */
static int64_t text_hash(const uint8_t *data, int64_t start, int64_t end) {
    while (start < end && byte_at(data, start) == ' ')
        start++;
    while (start < end && byte_at(data, end - 1) == ' ')
        end--;
    for (int64_t i = start; i < end; i++)
        if (data[i] < 32 || data[i] > 126)
            return ODD_ID;
    const int64_t value = number_hash(data, start, end);
    if (value == ODD_ID)
        return ODD_ID;
    return as_hash(value < 0 ? hash_bytes(data, start, end, TEXT_SEED) : (uint64_t)value);
}

/* A hash of a billing code's text, eight bytes at a time */
INLINE int64_t code_hash(const uint8_t *data, int64_t start, int64_t end) {
    uint64_t value = (uint64_t)(end - start);
    for (; end - start > 8; start += 8)
        value = (uint64_t)integer_hash(value ^ word_at(data, start));
    if (end > start)
        value ^= word_at(data, start) << (64 - 8 * (end - start));
    return integer_hash(value);
}

/* The filter's bit for a hash; the first slot that may hold it is an eighth of it */
INLINE int64_t filter_bit(int64_t value, int64_t mask) {
    return (int64_t)((uint64_t)value * 0x9E3779B1u >> 4) & (mask << 3 | 7);
}

INLINE bool is_in_table(const hash_table *table, int64_t value) {
    const int64_t mask = table->mask, bit = filter_bit(value, mask);
    if (((uint64_t)table->slots[mask + 1 + (bit >> 6)] >> (bit & 63) & 1) == 0)
        return false;
    for (int64_t slot = bit >> 3;; slot = (slot + 1) & mask) {
        const int64_t found = table->slots[slot];
        if (found == value)
            return true;
        if (found == 0)
            return false;
    }
}

/* Whether an id's hash says that the table may hold it */
INLINE bool is_cited(const hash_table *table, int64_t value) {
    return value == ODD_ID || (value != NO_ID && is_in_table(table, value));
}

/* text_hash of many texts that stand one after the other */
PUBLIC int64_t EXPORTED(hash_texts)(const uint8_t *data, const int64_t *ends, int64_t *hashes, int64_t count) {
    int64_t start = 0;
    for (int64_t i = 0; i < count; i++) {
        hashes[i] = text_hash(data, start, ends[i]);
        start = ends[i];
    }
    return count;
}

/* text_hash of whole numbers, as if they were written out; of negative ones anything */
PUBLIC int64_t EXPORTED(hash_numbers)(const int64_t *numbers, int64_t *hashes, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint64_t left = (uint64_t)(numbers[i] < 0 ? 0 : numbers[i]);
        if (left < 1000000000000000) {
            hashes[i] = integer_hash(left);
            continue;
        }
        uint8_t digits[20 + PADDING] = {0};
        int64_t first = 20;
        for (; left > 0; left /= 10)
            digits[--first] = (uint8_t)('0' + left % 10);
        hashes[i] = text_hash(digits, first, 20);
    }
    return count;
}

/* code_hash of many codes that stand one after the other */
PUBLIC int64_t EXPORTED(hash_codes)(const uint8_t *data, const int64_t *ends, int64_t *hashes, int64_t count) {
    int64_t start = 0;
    for (int64_t i = 0; i < count; i++) {
        hashes[i] = code_hash(data, start, ends[i]);
        start = ends[i];
    }
    return count;
}

/* Fill an empty table, which has 64 slots at least, and twice as many as there are values */
PUBLIC int64_t EXPORTED(put_in_table)(hash_table *table, const int64_t *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        const int64_t bit = filter_bit(values[i], table->mask);
        int64_t *const filter = table->slots + table->mask + 1;
        filter[bit >> 6] = (int64_t)((uint64_t)filter[bit >> 6] | (uint64_t)1 << (bit & 63));
        int64_t slot = bit >> 3;
        while (table->slots[slot] != 0 && table->slots[slot] != values[i])
            slot = (slot + 1) & table->mask;
        table->slots[slot] = values[i];
    }
    return count;
}

PUBLIC int64_t EXPORTED(is_in_table)(const hash_table *table, int64_t value) { return is_in_table(table, value); }

/* Put into `numbers` which of these hashes are cited, in order; how many they are */
PUBLIC int64_t EXPORTED(choose)(const hash_table *table, const uint32_t *hashes, int64_t count, int64_t *numbers) {
    int64_t chosen = 0;
    for (int64_t i = 0; i < count; i++)
        if (is_cited(table, hashes[i]))
            numbers[chosen++] = i;
    return chosen;
}
