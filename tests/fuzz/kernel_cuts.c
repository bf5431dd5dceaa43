/* A section of a document through the kernel, cut at every byte and at pairs of bytes, against itself uncut.
   What is around the kernel (bytes moved in front of the next block, places shifted) is done as scan_section.py does. */

#include "kernel.c"

enum { POISON = PADDING, HEAD = 64 * 1024, MOST_ROWS = 4000, MOST_DOUBTS = 500 };
#define BEHIND_ALL ((int64_t)1 << 60)
#define DEEP ((int64_t)1 << 40) /* depth is counted in steps of 64 bytes, so a limit would depend on the cuts */

/* What one scan says; where it refuses, only the event */
typedef struct {
    int64_t event, stopped, seen, nulls, others, count;
    index_row rows[MOST_ROWS]; /* hash or 0 */
} scan_result;

typedef struct {
    const uint8_t *data;
    int64_t size;
    int64_t sound; /* strict JSON */
    int64_t first, kind, single;
    const hash_table *table;
    const uint8_t *poisons; /* what stands behind blocks and must never count, PADDING bytes each */
    int64_t poison_count;
    uint8_t *buffers; /* two, `room` bytes each */
    int64_t room;
    scan_result *uncut, *cut;
    int64_t seed, pairs;
    int64_t at_first, at_second; /* where blocks ended when something else was found */
    int64_t doubt_count;
    index_row doubts[MOST_DOUBTS]; /* elements that some cuts leave to Python, as the others judge them */
} scan_plan;

static void put(scan_result *out, int64_t hash, int64_t start, int64_t end) {
    if (out->count < MOST_ROWS)
        out->rows[out->count++] = (index_row){hash, start, end};
}

/* The index's rows, as places in the document; of references, in their section, as they stand */
static void take(scan_state *state, const index_row *rows, int64_t kind, int64_t base, scan_result *out) {
    const bool indexed = kind == REFERENCES_INDEXED;
    const int64_t before = indexed ? 0 : base;
    for (int64_t i = 0; i < state->indexed; i++)
        put(out, indexed ? rows[i].hash : 0, rows[i].start + before, rows[i].end + before);
    state->indexed = 0;
}

/* One section under up to two cuts */
static void scan(const scan_plan *plan, int64_t first, int64_t second, const uint8_t *poison, scan_result *out) {
    static _Thread_local index_row rows[MOST_ROWS];
    scan_state state = {.deepest = DEEP, .section = plan->kind, .start = NOWHERE, .single = plan->single};
    state.state = plan->single ? ELEMENT_NEXT : ELEMENT_OR_END;
    state.index_rows = MOST_ROWS;
    state.spooled = -plan->first;
    state.pos = plan->first;
    int64_t base = 0; /* in the document, of what `at` points to */
    int64_t end = first; /* of the block in hand, in the document */
    int turn = 0;
    uint8_t *at = plan->buffers + HEAD;
    memcpy(at, plan->data, (size_t)end);
    memcpy(at + end, poison, PADDING);
    out->count = 0;
    while (true) {
        out->event = EXPORTED(next_event)(at, end - base, &state, plan->table, rows);
        if (out->event == BAD || out->event == INDEX_FULL)
            break;
        if (out->event != NEED_MORE || plan->kind != REFERENCES_INDEXED)
            take(&state, rows, plan->kind, base, out);
        if (out->event == ELEMENT) {
            put(out, 0, state.start + base, state.pos + base);
            state.start = NOWHERE;
            continue;
        }
        if (out->event == SECTION_END || end == plan->size)
            break;
        const int64_t left = end - base - state.pos;
        turn ^= 1;
        uint8_t *following = plan->buffers + turn * plan->room + HEAD;
        memcpy(following - left, at + state.pos, (size_t)left);
        const int64_t begin = end;
        end = end >= second ? plan->size : second;
        memcpy(following, plan->data + begin, (size_t)(end - begin));
        memcpy(following + end - begin, poison, PADDING);
        base += state.pos;
        at = following - left;
        state.spooled += state.pos;
        if (state.start != NOWHERE)
            state.start -= state.pos;
        state.pos = 0;
    }
    out->stopped = state.pos + base;
    out->seen = state.seen;
    out->nulls = state.nulls;
    out->others = state.others;
}

static void doubt(scan_plan *plan, int64_t hash, int64_t start, int64_t end) {
    for (int64_t i = 0; i < plan->doubt_count; i++)
        if (plan->doubts[i].hash == hash && plan->doubts[i].start == start)
            return;
    if (plan->doubt_count < MOST_DOUBTS)
        plan->doubts[plan->doubt_count++] = (index_row){hash, start, end};
}

/* Whether two scans found the same; elements that one of them leaves to Python are noted as doubts.
   Where blocks end decides what of a broken document is looked at, so there only a crash would be a find. */
static bool agree(scan_plan *plan) {
    const scan_result *one = plan->uncut, *other = plan->cut;
    if (!plan->sound)
        return true;
    if (one->event != SECTION_END || other->event != SECTION_END)
        return one->event == other->event;
    const bool indexed = plan->kind == REFERENCES_INDEXED;
    const int64_t passed = one->seen - other->seen;
    if (one->stopped != other->stopped || one->nulls != other->nulls || one->others != other->others ||
        passed != (indexed ? 0 : other->count - one->count))
        return false;
    for (int64_t i = 0, j = 0; i < one->count || j < other->count;) {
        const index_row end = {0, BEHIND_ALL, 0};
        const index_row here = i < one->count ? one->rows[i] : end, there = j < other->count ? other->rows[j] : end;
        if (here.start == there.start) {
            if (here.end != there.end)
                return false;
            if (here.hash != there.hash) {
                if (here.hash != ODD_ID && there.hash != ODD_ID)
                    return false;
                doubt(plan, there.hash == ODD_ID ? here.hash : there.hash, here.start, here.end);
            }
        } else if (indexed) {
            return false;
        } else {
            const index_row *alone = here.start < there.start ? &here : &there;
            doubt(plan, 0, alone->start, alone->end);
        }
        i += here.start <= there.start;
        j += there.start <= here.start;
    }
    return true;
}

/* Cut at every byte, then at so many pairs; the number of scans, or minus that where the last one differs */
PUBLIC int64_t cut_everywhere(scan_plan *plan);
int64_t cut_everywhere(scan_plan *plan) {
    const int64_t size = plan->size, first = plan->first;
    scan(plan, size, size, plan->poisons, plan->uncut);
    uint64_t noise = (uint64_t)plan->seed | 1;
    int64_t done = 0;
    for (int64_t turn = first + 1; turn < size + plan->pairs; turn++) {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        const int64_t number = (int64_t)(noise >> 2);
        int64_t at = turn, second = size;
        if (turn >= size) {
            at = first + 1 + number % (size - first - 1);
            second = at + 1 + (number >> 20) % 130;
            second = second < size ? second : size;
        }
        scan(plan, at, second, plan->poisons + POISON * ((number >> 40) % plan->poison_count), plan->cut);
        done++;
        if (!agree(plan)) {
            plan->at_first = at;
            plan->at_second = second;
            return -done;
        }
    }
    return done;
}
