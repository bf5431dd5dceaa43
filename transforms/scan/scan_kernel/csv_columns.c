/* Some columns of a csv: the fields of whole records as Arrow's string views, without their quotes.

   Plain records alone are cut: a quote stands at a field's edge or is doubled within quotes, a carriage return outside
   quotes stands in front of a line feed, and every record has as many fields as there are columns. */

enum { CSV_NEED_MORE, CSV_FULL, CSV_ODD };
enum { INLINE_BYTES = 12 };

/* Arrow's: a short text itself, or the beginning, the buffer and the offset of a longer one */
typedef struct {
    int32_t length;
    uint8_t text[INLINE_BYTES];
} string_view;

typedef struct {
    int64_t columns;        /* of every record: two or more */
    int64_t wanted;         /* of them: one or more */
    const int64_t *numbers; /* of the wanted ones, from 0 on, ascending */
    int64_t room;           /* for so many records: a multiple of 8 */
    int64_t records;        /* found so far */
    string_view *views;     /* `room` of each wanted column */
    uint8_t *present;       /* of each wanted column a bit for each record: whether its field is not empty */
    int64_t byte_room;
    int64_t byte_count;
    uint8_t *bytes;         /* of the texts that are too long for their views */
    int64_t end;            /* behind the last whole record */
} csv_columns;

/* What is open at a place: the number of commas before it in the record, the wanted column that comes next, and where its
   field begins once that is known */
typedef struct {
    int64_t commas, next, field;
} csv_record;

/* The text between `start` and `end` without the first of each two quotes, to `into`; its length */
static int64_t without_doubled(const uint8_t *data, int64_t start, int64_t end, uint8_t *into) {
    int64_t length = 0;
    for (int64_t place = start; place < end; place++) {
        into[length++] = data[place];
        if (data[place] == '"')
            place++;
    }
    return length;
}

INLINE bool holds_quote(const uint8_t *data, int64_t start, int64_t end) {
    for (; start < end; start += 64)
        if ((quotes_at(data, start) & first_lanes(end - start)) != 0)
            return true;
    return false;
}

/* Put the field between `start` and `end` into a wanted column; whether there was room for it */
static bool put_field(csv_columns *c, int64_t column, const uint8_t *data, int64_t start, int64_t end) {
    if (end > start && data[start] == '"') {
        start++;
        end--;
    }
    string_view *view = &c->views[column * c->room + c->records];
    uint8_t *const bits = &c->present[(column * c->room + c->records) / 8];
    const uint8_t bit = (uint8_t)(1u << c->records % 8);
    *view = (string_view){0};
    *bits = (uint8_t)(*bits & ~bit);
    if (end <= start)
        return true;
    if (c->byte_count + (end - start) > c->byte_room)
        return false;
    const uint8_t *from = data + start;
    int64_t length = end - start;
    if (UNLIKELY(holds_quote(data, start, end))) {
        length = without_doubled(data, start, end, c->bytes + c->byte_count);
        from = c->bytes + c->byte_count;
    }
    *bits |= bit;
    view->length = (int32_t)length;
    if (length <= INLINE_BYTES) {
        memcpy(view->text, from, (size_t)length);
        return true;
    }
    const int32_t offset = (int32_t)c->byte_count;
    memmove(c->bytes + c->byte_count, from, (size_t)length);
    memcpy(view->text, from, 4);
    memcpy(view->text + 8, &offset, sizeof offset);
    c->byte_count += length;
    return true;
}

INLINE uint64_t without_lowest(uint64_t bits, int64_t count) {
    for (; count > 0; count--)
        bits &= bits - 1;
    return bits;
}

/* Put the wanted fields that end at one of these commas, all of one record; whether there was room for them */
INLINE bool put_fields(csv_columns *c, csv_record *record, const uint8_t *data, int64_t pos, uint64_t commas) {
    const int64_t behind = record->commas + count_ones(commas);
    while (record->next < c->wanted) {
        const int64_t number = c->numbers[record->next];
        if (record->field < 0) { /* it begins behind the comma of its number */
            if (number > behind)
                break;
            commas = without_lowest(commas, number - record->commas - 1);
            record->field = pos + lowest_one(commas) + 1;
            commas &= commas - 1;
            record->commas = number;
        }
        if (number + 1 > behind)
            break;
        const int64_t end = pos + lowest_one(commas);
        commas &= commas - 1;
        record->commas = number + 1;
        if (!put_field(c, record->next, data, record->field, end))
            return false;
        record->next++;
        record->field = record->next < c->wanted && c->numbers[record->next] == number + 1 ? end + 1 : -1;
    }
    record->commas = behind;
    return true;
}

/* The wanted fields of the records from `data` on.
   NEED_MORE: the data ended, within a record or behind one. FULL: there is no room for a further record.
   ODD: a record that is not plain begins at `end`, or behind it. */
PUBLIC int64_t EXPORTED(cut_csv)(const uint8_t *data, int64_t size, csv_columns *c) {
    const csv_record opened = {0, 0, c->numbers[0] == 0 ? 0 : -1};
    csv_record record = opened;
    uint64_t inside = 0, ended = 1, closed = 0, returned = 0; /* of the byte before a block: whether it is such a byte */
    c->end = 0;
    if (c->records >= c->room)
        return CSV_FULL;
    for (int64_t pos = 0; pos < size; pos += 64) {
        const uint64_t valid = first_lanes(size - pos);
        const uint64_t quotes = quotes_at(data, pos) & valid;
        const uint64_t strings = running_parity(quotes) ^ inside;
        const uint64_t outside = ~strings & valid;
        const uint64_t opens = quotes & strings, closes = quotes & ~strings;
        uint64_t commas = bytes_at(data, pos, ',') & outside;
        uint64_t lines = bytes_at(data, pos, '\n') & outside;
        const uint64_t returns = bytes_at(data, pos, '\r') & outside;
        const uint64_t ends = commas | lines;
        const uint64_t behind_closed = (closes << 1 | closed) & valid;
        const uint64_t odd = (opens & ~(ends << 1 | ended | behind_closed)) | (behind_closed & ~(ends | returns | opens)) |
                             ((returns << 1 | returned) & valid & ~lines);
        if (UNLIKELY(odd != 0))
            return CSV_ODD;
        inside = 0 - (strings >> 63);
        ended = ends >> 63;
        closed = closes >> 63;
        returned = returns >> 63;
        for (; lines != 0; lines &= lines - 1) {
            const uint64_t before = (lines & (0 - lines)) - 1;
            const int64_t place = pos + lowest_one(lines);
            if (!put_fields(c, &record, data, pos, commas & before))
                return CSV_FULL;
            if (record.commas != c->columns - 1)
                return CSV_ODD;
            if (record.field >= 0) {
                const int64_t end = place - (place > record.field && data[place - 1] == '\r');
                if (!put_field(c, record.next, data, record.field, end))
                    return CSV_FULL;
            }
            commas &= ~before;
            c->end = place + 1;
            c->records++;
            if (c->records >= c->room)
                return CSV_FULL;
            record = opened;
            if (record.field == 0)
                record.field = c->end;
        }
        if (!put_fields(c, &record, data, pos, commas))
            return CSV_FULL;
    }
    return CSV_NEED_MORE;
}
