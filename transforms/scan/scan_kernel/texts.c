/* Texts: each distinct one of a rule once, by its raw bytes. */

INLINE uint64_t tail_of(place p, int64_t size) { return word_at(p, 0) << (64 - 8 * size); } /* of one to eight bytes */

INLINE uint64_t text_hash_of(place p, int64_t size, int64_t rule) {
    uint64_t hash = (uint64_t)size * GOLDEN + (uint64_t)rule;
    for (; size > 8; p += 8, size -= 8) {
        hash = (hash ^ word_at(p, 0)) * 0xBF58476D1CE4E5B9u;
        hash ^= hash >> 32;
    }
    if (size > 0)
        hash = (hash ^ tail_of(p, size)) * 0xBF58476D1CE4E5B9u;
    return hash ^ hash >> 29;
}

INLINE bool same_bytes(place one, place other, int64_t size) {
    for (; size > 8; one += 8, other += 8, size -= 8)
        if (word_at(one, 0) != word_at(other, 0))
            return false;
    return size <= 0 || tail_of(one, size) == tail_of(other, size);
}

/* The text from `p` up to `end`, put there if it is new; NULL where there is no room, or it is refused */
static text *interned(columns *c, int64_t rule, place p, place end) {
    const int64_t size = end - p;
    const uint64_t hash = text_hash_of(p, size, rule);
    uint64_t slot = hash & (uint64_t)c->slot_mask;
    for (; c->slots[slot].place != 0; slot = (slot + 1) & (uint64_t)c->slot_mask) {
        text *found = &c->texts[c->slots[slot].place - 1];
        if (c->slots[slot].hash == hash && found->rule == rule && found->length == size &&
            same_bytes(c->bytes + found->offset, p, size))
            return found->state == REFUSED ? NULL : found;
    }
    if (c->text_count == c->text_room || c->byte_count + size > c->byte_room) {
        c->stopped = NO_ROOM;
        return NULL;
    }
    text *made = &c->texts[c->text_count++];
    *made = (text){rule, UNREAD, c->byte_count, size, c->numbers[rule]++, 0};
    memcpy(c->bytes + c->byte_count, p, (size_t)size);
    c->byte_count += size;
    c->slots[slot] = (text_slot){hash, c->text_count};
    c->unread++;
    return made;
}

/* Forget all texts but the first one of each rule, which is null: what a missing value is read as */
PUBLIC int64_t EXPORTED(forget_texts)(columns *c) {
    static const uint8_t null[8] = "null";
    memset(c->slots, 0, (size_t)(c->slot_mask + 1) * sizeof *c->slots);
    c->text_count = c->byte_count = c->unread = 0;
    memset(c->numbers, 0, sizeof c->numbers);
    for (int64_t form = 0; form < FORMS; form++)
        c->forms[form].head = 0;
    for (int64_t rule = 0; rule < RULES; rule++)
        if (interned(c, rule, null, null + 4) == NULL)
            return NO_ROOM;
    return DECODED;
}
