/* The kernel alone on any bytes: buffers and columns of exactly the promised size, so that a sanitizer sees one byte too
   many. With clang's libFuzzer by coverage (-fsanitize=fuzzer); else main() changes the files that it is given at random.

   cc -fsanitize=address,undefined -Itransforms/scan/scan_kernel -DLEVEL=sse2 tests/fuzz/kernel_fuzz.c -o kernel_fuzz */

#include "kernel.c"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 40, SLOTS_OF_TEXTS = 32, CODES = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void *room(size_t count, size_t size) {
    void *memory = calloc(count + (count == 0), size);
    if (memory == NULL)
        abort();
    return memory;
}

/* A copy with what a buffer has around its data: a line in front, PADDING behind, of bytes that must not count */
static uint8_t *buffer_of(const uint8_t *data, int64_t size, uint8_t around) {
    uint8_t *memory = aligned_alloc(LINE, (size_t)(LINE + (size + PADDING + LINE - 1) / LINE * LINE));
    if (memory == NULL)
        abort();
    memset(memory, around, (size_t)(LINE + size + PADDING));
    memcpy(memory + LINE, data, (size_t)size);
    return memory + LINE;
}

static void free_buffer(uint8_t *data) { free(data - LINE); }

/* A section that begins with the input, in blocks that end where `cuts` say */
static void walk(const uint8_t *input, int64_t size, int64_t kind, uint64_t cuts, uint8_t around) {
    hash_table *table = room(1 + CODES + CODES / 8, sizeof(int64_t));
    index_row *index = room(ROWS, sizeof *index);
    table->mask = CODES - 1;
    scan_state state = {.section = kind, .start = NOWHERE, .state = ELEMENT_OR_END, .index_rows = ROWS, .deepest = 100};
    int64_t base = 0, end = 0, event = NEED_MORE;
    while (event != BAD && event != SECTION_END && (event != NEED_MORE || end < size)) {
        if (event == NEED_MORE) {
            end += 1 + (int64_t)(cuts % 97);
            end = end < size ? end : size;
            cuts = cuts * 6364136223846793005u + 1442695040888963407u;
        }
        uint8_t *data = buffer_of(input + base, end - base, around);
        event = EXPORTED(next_event)(data, end - base, &state, table, index);
        free_buffer(data);
        if (event == ELEMENT)
            state.start = NOWHERE;
        if (event != NEED_MORE || kind != REFERENCES_INDEXED || state.indexed == ROWS)
            state.indexed = 0;
        base += state.pos;
        state.spooled += state.pos;
        if (state.start != NOWHERE)
            state.start -= state.pos;
        state.pos = 0;
    }
    free(index);
    free(table);
}

#define SET(field, count) c.field = room((size_t)(count), sizeof *c.field)

/* The input as an element of each kind, into columns with little room */
static void decode_all(const uint8_t *input, int64_t size, int64_t rows, uint8_t around) {
    columns c = {.number_digits = 40, .value_bytes = 60, .string_bytes = 200, .list_bytes = 60};
    static const int64_t cited[] = {-2, 1, 7, 1234567893};
    c.cited = cited;
    c.cited_count = 4;
    c.text_room = RULES + rows;
    c.byte_room = 4 * RULES + 100;
    c.slot_mask = SLOTS_OF_TEXTS * 4 - 1;
    c.item_room = c.price_room = c.citation_room = c.group_room = c.reference_room = rows;
    c.npi_room = 3 * rows;
    c.digit_room = 30 * rows;
    SET(texts, c.text_room);
    c.bytes = room((size_t)c.byte_room + 8, 1);
    SET(slots, c.slot_mask + 1);
    SET(forms, FORMS);
    SET(item_arrangement, rows), SET(item_code, rows), SET(item_code_type, rows), SET(item_first, rows), SET(item_end, rows), SET(item_offset, rows);
    SET(price_rate, rows), SET(price_amount, rows), SET(price_type, rows), SET(price_class, rows), SET(price_setting, rows);
    SET(price_codes, rows), SET(price_modifiers, rows), SET(price_date, rows);
    SET(citation_rate, rows), SET(citation_key, rows);
    SET(group_owner, rows), SET(group_tin_type, rows), SET(group_tin, rows), SET(group_name, rows), SET(group_size, rows);
    SET(group_digits_end, rows), SET(group_npis_end, rows), SET(digits, c.digit_room), SET(npis, c.npi_room + LANES);
    SET(reference_no, rows), SET(reference_key, rows), SET(reference_groups, rows);
    SET(reference_location, rows), SET(reference_networks, rows), SET(reference_offset, rows);
    EXPORTED(forget_texts)(&c);
    uint8_t *data = buffer_of(input, size, around);
    const index_row row = {0, 0, size};
    for (int64_t section = ITEMS; section <= RATES; section++) {
        for (int again = 0; again < 3; again++) {
            for (int64_t i = 0; i < c.text_count; i++) { /* as Python would: some are refused, some are wanted */
                c.texts[i].state = i >= RULES && i % 7 == 6 ? REFUSED : READ;
                c.texts[i].value = c.texts[i].rule == AS_NPI && i % 3 == 0 ? BLANK_NPI : i;
            }
            c.unread = 0;
            EXPORTED(decode)(&c, data, &row, 0, 1, section);
            scan_state state = {.section = section, .state = again == 0 ? AFTER_ELEMENT : ELEMENT_NEXT};
            if (c.unread == 0 && section != REFERENCES_INDEXED)
                EXPORTED(decode_ahead)(&c, data, size, &state);
        }
    }
    free_buffer(data);
    void *const taken[] = {
        c.texts, c.bytes, c.slots, c.forms, c.item_arrangement, c.item_code, c.item_code_type, c.item_first, c.item_end, c.item_offset,
        c.price_rate, c.price_amount, c.price_type, c.price_class, c.price_setting, c.price_codes, c.price_modifiers,
        c.price_date, c.citation_rate, c.citation_key, c.group_owner, c.group_tin_type, c.group_tin, c.group_name, c.group_size,
        c.group_digits_end, c.group_npis_end, c.digits, c.npis, c.reference_no, c.reference_key, c.reference_groups, c.reference_location,
        c.reference_networks, c.reference_offset};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        free(taken[i]);
}

/* The input as a csv, from wherever the last call stopped */
static void cut_all(const uint8_t *input, int64_t size, int64_t columns, int64_t room_of, uint8_t around) {
    static const int64_t FIRST[] = {0, 1, 3}, LATER[] = {1, 2, 4};
    csv_columns c = {.columns = columns, .numbers = room_of % 2 ? FIRST : LATER, .room = 8 * room_of, .byte_room = 16 * room_of};
    while (c.wanted < 3 && c.numbers[c.wanted] < columns)
        c.wanted++;
    c.views = room((size_t)(c.wanted * c.room), sizeof *c.views);
    c.present = room((size_t)(c.wanted * c.room / 8), 1);
    c.bytes = room((size_t)c.byte_room, 1);
    for (int64_t start = 0, event = CSV_FULL; event == CSV_FULL && start < size; start += c.end) {
        uint8_t *data = buffer_of(input + start, size - start, around);
        c.records = c.byte_count = 0;
        event = EXPORTED(cut_csv)(data, size - start, &c);
        free_buffer(data);
        if (c.records == 0)
            break;
    }
    free(c.views);
    free(c.present);
    free(c.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length) {
    const int64_t size = (int64_t)length;
    static const uint8_t AROUND[] = {0, '"', '}', ']', '\\', '0', ',', 0xC3};
    uint64_t seed = length;
    for (size_t i = 0; i < length; i++)
        seed = (seed ^ input[i]) * FNV_PRIME;
    const uint8_t around = AROUND[seed % sizeof AROUND];
    uint8_t *data = buffer_of(input, size, around);
    utf8_state utf8 = {0, 0, 0};
    EXPORTED(check_utf8)(data, 0, size, &utf8);
    EXPORTED(string_end)(data, size, 0);
    EXPORTED(scalar_end)(data, size, 0);
    EXPORTED(skip_blanks)(data, size, 0);
    children_state children = {.deepest = 20, .cut = NOWHERE};
    EXPORTED(complete_children)(data, size, &children);
    scan_state nested = {.state = NESTED, .depth = 1, .deepest = 50};
    EXPORTED(skip_value)(data, size, &nested);
    int64_t hash;
    EXPORTED(hash_texts)(data, &size, &hash, 1);
    EXPORTED(hash_codes)(data, &size, &hash, 1);
    free_buffer(data);
    for (int64_t kind = ITEMS; kind <= RATES; kind++)
        walk(input, size, kind, seed, around);
    for (int64_t columns = 2; columns < 6; columns++)
        cut_all(input, size, columns, 1 + (int64_t)(seed >> 16) % 8, around);
    decode_all(input, size, ROWS, around);
    decode_all(input, size, (int64_t)(seed >> 8) % 4, around);
    return 0;
}

#ifndef WITH_LIBFUZZER
enum { MOST_BYTES = 8192 };

static uint64_t state_of_chance = 1;

static uint64_t chance(uint64_t below) {
    state_of_chance ^= state_of_chance << 13;
    state_of_chance ^= state_of_chance >> 7;
    state_of_chance ^= state_of_chance << 17;
    return state_of_chance % (below + (below == 0));
}

/* One change: bytes set, taken out, or doubled */
static size_t changed(uint8_t *data, size_t size) {
    static const char MARKS[] = "\"\\{}[],:0123456789.eE+-ntf \n\t\x01\xC3\xA9";
    if (size == 0)
        return 0;
    const size_t at = chance(size), count = 1 + chance(chance(2) ? 3 : 40);
    switch (chance(4)) {
    case 0:
        data[at] = (uint8_t)MARKS[chance(sizeof MARKS - 1)];
        return size;
    case 1:
        data[at] = (uint8_t)chance(256);
        return size;
    case 2:
        if (at + count > size)
            return at;
        memmove(data + at, data + at + count, size - at - count);
        return size - count;
    default:
        if (at + count > size || size + count > MOST_BYTES)
            return size;
        memmove(data + at + count, data + at, size - at);
        return size + count;
    }
}

/* kernel_fuzz EXECUTIONS SEED FILE...: each file as it is, then changed ones; prints how many were tried */
int main(int count, char **arguments) {
    if (count < 4)
        return 2;
    const long executions = strtol(arguments[1], NULL, 10);
    state_of_chance = strtoull(arguments[2], NULL, 10) | 1;
    static uint8_t data[MOST_BYTES];
    long done = 0;
    for (int file = 3; file < count; file++, done++) {
        FILE *stream = fopen(arguments[file], "rb");
        if (stream == NULL)
            return 2;
        LLVMFuzzerTestOneInput(data, fread(data, 1, MOST_BYTES, stream));
        fclose(stream);
    }
    for (; done < executions; done++) {
        FILE *stream = fopen(arguments[3 + chance((uint64_t)count - 3)], "rb");
        if (stream == NULL)
            return 2;
        size_t size = fread(data, 1, MOST_BYTES, stream);
        fclose(stream);
        const size_t start = chance(2) ? 0 : chance(size); /* an element may begin anywhere */
        memmove(data, data + start, size - start);
        size -= start;
        for (uint64_t changes = chance(4); changes > 0; changes--)
            size = changed(data, size);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%ld executions\n", done);
    return 0;
}
#endif
