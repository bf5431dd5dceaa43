/* Numbers: rates exactly as Python's float() reads them, NPIs, keys. What is not plain is a text for Python. */

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { MOST_POWERS = sizeof POWERS / sizeof *POWERS, EXACT_DIGITS = 15, WHOLE_DIGITS = 18 };

/* Past a plain decimal at `p`, and what it is: up to 15 digits and no exponent, so that both the digits and the power of
   ten are exact and one division rounds once (Clinger). NULL where it is anything else. */
INLINE place past_decimal(place p, place end, double *value) {
    const place start = p;
    uint64_t digits = 0;
    int64_t fraction = 0;
    const bool negative = *p == '-';
    p += negative;
    const place first = p;
    for (; p < end && is_digit(*p); p++) {
        if (p - start > EXACT_DIGITS + 1)
            return NULL;
        digits = digits * 10 + (uint64_t)(*p - '0');
    }
    int64_t count = p - first;
    if (count == 0 || (count > 1 && *first == '0'))
        return NULL;
    if (p < end && *p == '.') {
        const place point = p++;
        for (; p < end && is_digit(*p); p++) {
            if (p - start > EXACT_DIGITS + 2)
                return NULL;
            digits = digits * 10 + (uint64_t)(*p - '0');
        }
        fraction = p - point - 1;
        if (fraction == 0)
            return NULL;
        count += fraction;
    }
    if (count > EXACT_DIGITS || fraction >= MOST_POWERS || p >= end || (*p | 32) == 'e')
        return NULL;
    *value = (double)digits / POWERS[fraction];
    if (negative && digits != 0)
        *value = -*value; /* minus zero is zero */
    return p;
}

/* Whether what follows a number ends it */
INLINE bool ends_value(uint8_t byte) { return byte == ',' || byte == ']' || byte == '}' || byte <= ' '; }

/* Past a plain whole number at `p`: up to 18 digits, none of them a leading zero. NULL where it is anything else. */
INLINE place past_whole(place p, place end, int64_t *value) {
    const place start = p;
    uint64_t whole = 0;
    if (end - p >= 8) {
        const uint64_t word = word_at(p, 0) ^ EIGHT_ZEROS;
        if (no_digits(word) == 0) {
            whole = value_of(word);
            p += 8;
        }
    }
    for (; p < end && is_digit(*p); p++) {
        if (p - start >= WHOLE_DIGITS)
            return NULL;
        whole = whole * 10 + (uint64_t)(*p - '0');
    }
    if (p == start || p >= end || (p - start > 1 && *start == '0'))
        return NULL;
    *value = (int64_t)whole;
    return p;
}

/* A rate that is a plain decimal, or text of one; NULL where it is anything else */
INLINE place past_plain_rate(place p, place end, double *rate) {
    const bool quoted = *p == '"';
    const place at = past_decimal(p + quoted, end, rate);
    return at != NULL && (quoted ? *at == '"' : ends_value(*at)) ? at + quoted : NULL;
}

/* A rate: a number, or text that is one */
static place past_rate(columns *c, place p, place end, double *rate) {
    place at = past_plain_rate(p, end, rate);
    if (at != NULL)
        return at;
    if (*p == '{' || *p == '[' || (at = past_scalar(c, p, end)) == NULL || at - p > c->value_bytes)
        return NULL;
    const text *found = interned(c, AS_RATE, p, at);
    if (found == NULL)
        return NULL;
    memcpy(rate, &found->value, sizeof *rate);
    return at;
}

/* An NPI: a whole number, or text of nothing but digits */
INLINE place past_npi(columns *c, place p, place end, int64_t *npi) {
    const bool quoted = *p == '"';
    place at = past_whole(p + quoted, end, npi);
    if (at != NULL && (quoted ? *at == '"' : ends_value(*at)))
        return at + quoted;
    if (*p == '{' || *p == '[' || (at = past_scalar(c, p, end)) == NULL || at - p > c->value_bytes)
        return NULL;
    const text *found = interned(c, AS_NPI, p, at);
    if (found == NULL)
        return NULL;
    *npi = found->value;
    return at;
}

/* As many plain NPIs as follow each other at `p`, up to `room`: ten digits and a comma each, nothing between them */
INLINE place past_plain_npis(place p, place end, int64_t *npis, int64_t room, int64_t *count) {
    int64_t found = 0;
    while (found < room && end - p > 16) {
        const uint64_t word = word_at(p, 0) ^ EIGHT_ZEROS, rest = word_at(p, 8) ^ 0x2C3030u;
        if ((no_digits(word) | (((rest + 0x7676u) | rest) & 0x8080u) | (rest & 0xFF0000u)) != 0 || (word & 0xFF) == 0)
            break;
        npis[found++] = (int64_t)(value_of(word) * 100 + (rest & 0xFF) * 10 + (rest >> 8 & 0xFF));
        p += 11;
    }
    *count += found;
    return p;
}

/* As many plain ids as follow each other at `p`, up to `room`: one to fifteen digits and a comma each, nothing between */
INLINE place past_plain_ids(place p, place end, int64_t *keys, int64_t room, int64_t *count) {
    static const uint64_t tens[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
    int64_t found = 0;
    while (found < room && end - p > 16) {
        int64_t digits = leading_digits(p, 0);
        if (digits == 0 || (*p == '0' && digits > 1))
            break;
        uint64_t value = integer_at(p, 0, digits);
        if (digits == 8) {
            const int64_t more = leading_digits(p, 8);
            if (more == 8)
                break;
            value = more == 0 ? value : value * tens[more] + integer_at(p, 8, more);
            digits += more;
        }
        if (p[digits] != ',')
            break;
        keys[found++] = (int64_t)value;
        p += digits + 1;
    }
    *count += found;
    return p;
}

/* The id of a reference */
INLINE place past_id(columns *c, place p, place end, int64_t *key) {
    const bool quoted = *p == '"';
    place at = past_whole(p + quoted, end, key);
    if (at != NULL && (quoted ? *at == '"' : ends_value(*at)))
        return at + quoted;
    if (*p == '{' || *p == '[' || (at = past_scalar(c, p, end)) == NULL || at - p > c->value_bytes)
        return NULL;
    const text *found = interned(c, AS_KEY, p, at);
    if (found == NULL)
        return NULL;
    *key = found->value;
    return at;
}

/* Values that are compared at once: the compiler makes of them what the level has */
typedef int64_t lanes __attribute__((vector_size(8 * LANES)));
enum { FEW = 32 };

/* Each to the place that as many are below it: without branches, which could not be predicted. Behind `values` there is
   room for LANES more, which are read. */
static void sort_few(int64_t *values, int64_t count) {
    int64_t places[FEW], sorted[FEW], largest = INT64_MIN;
    for (int64_t first = 0; first < count; first += LANES) {
        lanes some, below = {0};
        memcpy(&some, values + first, sizeof some);
        for (int64_t i = 0; i < count; i++)
            below -= values[i] < some; /* -1 where it holds */
        memcpy(places + first, &below, sizeof below);
    }
    for (int64_t i = 0; i < count; i++)
        sorted[i] = INT64_MIN;
    for (int64_t i = 0; i < count; i++)
        sorted[places[i]] = values[i];
    for (int64_t i = 0; i < count; i++) /* equal values have one place: the others behind it are empty */
        values[i] = largest = sorted[i] > largest ? sorted[i] : largest;
}

static void sift(int64_t *values, int64_t root, int64_t count) {
    const int64_t value = values[root];
    for (int64_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && values[child + 1] > values[child])
            child++;
        if (values[child] <= value)
            break;
        values[root] = values[child];
    }
    values[root] = value;
}

/* In ascending order, in place: quicksort, and heapsort where that goes too deep */
static void sort(int64_t *values, int64_t count, int64_t depth) {
    while (count > FEW) {
        if (depth-- == 0) {
            for (int64_t i = count / 2; i-- > 0;)
                sift(values, i, count);
            for (int64_t i = count; i-- > 1;) {
                const int64_t largest = values[0];
                values[0] = values[i];
                values[i] = largest;
                sift(values, 0, i);
            }
            return;
        }
        const int64_t a = values[0], b = values[count / 2], d = values[count - 1];
        const int64_t middle = a < b ? (b < d ? b : a < d ? d : a) : (a < d ? a : b < d ? d : b);
        int64_t low = 0, high = count - 1;
        while (low <= high) {
            while (values[low] < middle)
                low++;
            while (values[high] > middle)
                high--;
            if (low <= high) {
                const int64_t swapped = values[low];
                values[low++] = values[high];
                values[high--] = swapped;
            }
        }
        if (high + 1 < count - low) { /* the shorter part by itself, the longer one here */
            sort(values, high + 1, depth);
            values += low;
            count -= low;
        } else {
            sort(values + low, count - low, depth);
            count = high + 1;
        }
    }
    sort_few(values, count);
}

/* Sorted, each once: how many are left */
static int64_t distinct(int64_t *values, int64_t count) {
    bool ascending = true;
    for (int64_t i = 1; i < count; i++)
        ascending &= values[i - 1] < values[i];
    if (ascending)
        return count;
    sort(values, count, 64);
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || values[i] != values[kept - 1])
            values[kept++] = values[i];
    return kept;
}
