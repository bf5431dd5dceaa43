/* Forms of prices: most prices of a file differ from an earlier one in their rate alone, and are known by the rest.

   A form is the bytes in front of a price's rate, those behind it up to the closing brace, and the numbers of the texts
   in them. Its place among the forms is a hash of the bytes. Where in a price its rate and its end are is guessed: a form is
   kept only where the guess was right, so that of a wrong guess the bytes are those of no form. */

enum { RATE_KEY = 18, HEAD_BYTES = 192 }; /* of "negotiated_rate": with its colon; in front of the rate */

INLINE uint64_t turned(uint64_t word) { return word << 23 | word >> 41; }

INLINE uint64_t hash_with(uint64_t hash, place p, int64_t size) {
    uint64_t other = (uint64_t)size;
    for (; size >= 16; p += 16, size -= 16) {
        hash = turned(hash ^ word_at(p, 0)) * GOLDEN;
        other = turned(other ^ word_at(p, 8)) * 0xBF58476D1CE4E5B9u;
    }
    if (size > 8) {
        hash = turned(hash ^ word_at(p, 0)) * GOLDEN;
        p += 8;
        size -= 8;
    }
    if (size > 0)
        other = turned(other ^ tail_of(p, size)) * 0xBF58476D1CE4E5B9u;
    return (hash ^ turned(other)) * GOLDEN;
}

/* Where the rate of the price at `p` may begin: behind the first "negotiated_rate": of it. NULL where there is none. */
INLINE place guessed_rate(place p, place end) {
    for (int64_t at = 0; at < HEAD_BYTES && p + at < end; at += 64) {
        const uint64_t keys = quotes_at(p, at) & bytes_at(p, at + 12, 'r') & quotes_at(p, at + RATE_KEY - 2) &
                              bytes_at(p, at + RATE_KEY - 1, ':');
        if (keys == 0)
            continue;
        p += at + lowest_one(keys) + RATE_KEY;
        p += p < end && *p == ' ';
        return p < end ? p : NULL;
    }
    return NULL;
}

/* Past the first closing brace from `p` on that is in no string; NULL where there is none */
INLINE place guessed_end(place p, place end) {
    uint64_t inside = 0;
    for (; p < end; p += 64) {
        const uint64_t strings = running_parity(quotes_at(p, 0)) ^ inside;
        const uint64_t closes = bytes_at(p, 0, '}') & ~strings;
        if (closes != 0) {
            p += lowest_one(closes) + 1;
            return p <= end ? p : NULL;
        }
        inside = 0 - (strings >> 63);
    }
    return NULL;
}

/* What is guessed of a price: where its form would be (`form`, NULL: it can have none), its parts, and its rate */
typedef struct {
    price_form *form;
    place start, rate, behind, end;
    double amount;
} guessed_price;

INLINE guessed_price guess_price(columns *c, place p, place end) {
    guessed_price guess = {.start = p, .rate = guessed_rate(p, end)};
    if (guess.rate == NULL || (guess.behind = past_plain_rate(guess.rate, end, &guess.amount)) == NULL ||
        (guess.end = guessed_end(guess.behind, end)) == NULL)
        return guess;
    const int64_t head = guess.rate - p, tail = guess.end - guess.behind;
    if (head + tail <= FORM_BYTES)
        guess.form = &c->forms[hash_with(hash_with(0, p, head), guess.behind, tail) % FORMS];
    return guess;
}

/* Whether the price has the form that stands there */
INLINE bool is_known(const guessed_price *guess) {
    const price_form *form = guess->form;
    if (form == NULL || form->head != guess->rate - guess->start || form->tail != guess->end - guess->behind)
        return false;
    return memcmp(form->bytes, guess->start, (size_t)form->head) == 0 &&
           memcmp(form->bytes + form->head, guess->behind, (size_t)form->tail) == 0;
}

/* Keep the form of a price that has been decoded */
static void learn_form(const guessed_price *guess, const price_texts *texts) {
    price_form *form = guess->form;
    form->head = guess->rate - guess->start;
    form->tail = guess->end - guess->behind;
    form->texts = *texts;
    memcpy(form->bytes, guess->start, (size_t)form->head);
    memcpy(form->bytes + form->head, guess->behind, (size_t)form->tail);
}
