/* Elements of root arrays and of an item's rates, into rows. */

#define IS_KEY(key, size, literal) ((size) == sizeof(literal) - 1 && IS_TEXT(key, 0, literal))

/* The text of a scalar; `number` is what the column holds */
INLINE place past_text(columns *c, int64_t rule, place p, place end, int32_t *number) {
    if (*p == '{' || *p == '[')
        return NULL;
    const place at = past_scalar(c, p, end);
    if (at == NULL || at - p > c->value_bytes)
        return NULL;
    const text *found = interned(c, rule, p, at);
    if (found == NULL)
        return NULL;
    *number = (int32_t)found->number;
    return at;
}

/* Likewise of a list, or of what stands in its place */
INLINE place past_list(columns *c, int64_t rule, place p, place end, int32_t *number) {
    const place at = past_value(c, p, end);
    if (at == NULL || at - p > c->list_bytes)
        return NULL;
    const text *found = interned(c, rule, p, at);
    if (found == NULL)
        return NULL;
    *number = (int32_t)found->number;
    return at;
}

enum { PRICE_TYPE = 1, PRICE_RATE = 2, PRICE_CLASS = 4, PRICE_SETTING = 8, PRICE_CODES = 16, PRICE_MODIFIERS = 32,
       PRICE_DATE = 64, PRICE_ALIAS = 128 };

INLINE int price_key(place key, int64_t size) {
    switch (size) {
    case 15:
        if (IS_TEXT(key, 0, "negotiated_rate"))
            return PRICE_RATE;
        if (IS_TEXT(key, 0, "negotiated_type"))
            return PRICE_TYPE;
        return IS_TEXT(key, 0, "expiration_date") ? PRICE_DATE : 0;
    case 13:
        return IS_TEXT(key, 0, "billing_class") ? PRICE_CLASS : 0;
    case 12:
        return IS_TEXT(key, 0, "service_code") ? PRICE_CODES : 0;
    case 21:
        return IS_TEXT(key, 0, "billing_code_modifier") ? PRICE_MODIFIERS : 0;
    case 7:
        return IS_TEXT(key, 0, "setting") ? PRICE_SETTING : 0;
    case 16:
        return IS_TEXT(key, 0, "negotiated_price") ? PRICE_ALIAS : 0;
    default:
        return 0;
    }
}

/* One price: its rate, where that begins, and its texts. "negotiated_price" counts where there is no rate. */
static place past_price_members(columns *c, place p, place end, double *amount, place *rate, price_texts *texts) {
    int seen = 0;
    bool more;
    double alias = __builtin_nan("");
    place quote;
    if (*p != '{')
        return NULL;
    for (p = past_opening(p, end, '}', &more); p != NULL && more; p = p == NULL ? p : past_separator(p, end, '}', &more)) {
        const place key = p + 1;
        if ((p = past_key(p, end, &quote)) == NULL)
            return NULL;
        const int which = price_key(key, quote - key);
        if (seen & which) /* the last one counts: rare, and the plain grammar knows how */
            return NULL;
        seen |= which;
        switch (which) {
        case PRICE_TYPE: p = past_text(c, AS_TEXT, p, end, &texts->type); break;
        case PRICE_RATE: p = past_rate(c, *rate = p, end, amount); break;
        case PRICE_CLASS: p = past_text(c, AS_CLASS, p, end, &texts->class); break;
        case PRICE_SETTING: p = past_text(c, AS_TEXT, p, end, &texts->setting); break;
        case PRICE_CODES: p = past_list(c, AS_CODES, p, end, &texts->codes); break;
        case PRICE_MODIFIERS: p = past_list(c, AS_CODES, p, end, &texts->modifiers); break;
        case PRICE_DATE: p = past_text(c, AS_DATE, p, end, &texts->date); break;
        case PRICE_ALIAS: p = past_rate(c, p, end, &alias); break;
        default: p = past_value(c, p, end);
        }
    }
    if (*rate == NULL || **rate == 'n')
        *amount = alias;
    return p;
}

/* One price of the rate `rate_id` */
static place past_price(columns *c, place p, place end, int64_t rate_id) {
    price_texts texts = {0};
    if (c->price_count == c->price_room) {
        c->stopped = NO_ROOM;
        return NULL;
    }
    guessed_price guess = guess_price(c, p, end);
    if (is_known(&guess)) {
        texts = guess.form->texts;
        p = guess.end;
    } else {
        place rate = NULL;
        guess.amount = __builtin_nan("");
        if ((p = past_price_members(c, p, end, &guess.amount, &rate, &texts)) == NULL)
            return NULL;
        const bool guessed_right = guess.form != NULL && guess.rate == rate && guess.end == p;
        if (guessed_right && c->unread == 0) /* no text of it is refused */
            learn_form(&guess, &texts);
    }
    const int64_t row = c->price_count++;
    c->price_rate[row] = rate_id;
    c->price_amount[row] = guess.amount;
    c->price_type[row] = texts.type;
    c->price_class[row] = texts.class;
    c->price_setting[row] = texts.setting;
    c->price_codes[row] = texts.codes;
    c->price_modifiers[row] = texts.modifiers;
    c->price_date[row] = texts.date;
    return p;
}

/* NPIs behind those that are there: the distinct ones, sorted; null where there are none, or one is blank */
static place past_npis(columns *c, place p, place end) {
    int64_t *npis = c->npis + c->npi_count;
    const int64_t room = c->npi_room - c->npi_count - 1; /* beside a null */
    int64_t count = 0;
    bool more = false, blank = false;
    place at;
    if (room < 1) {
        c->stopped = NO_ROOM;
        return NULL;
    }
    if (*p == '[') {
        p = past_opening(p, end, ']', &more);
    } else {
        int64_t npi = BLANK_NPI;
        p = past_npi(c, p, end, &npi);
        npis[0] = npi;
        blank = npi == BLANK_NPI;
        count = !blank;
        c->singles++;
    }
    for (; p != NULL && more; p = p == NULL ? p : past_separator(p, end, ']', &more)) {
        int64_t npi;
        p = past_plain_npis(p, end, npis + count, room - count, &count);
        if (UNLIKELY(*p <= ' ') && (p = at_next(p, end)) == NULL)
            return NULL;
        if (*p == 'n' && (at = past_null(p, end)) != NULL) {
            p = at;
            continue;
        }
        if (UNLIKELY(count == room)) {
            c->stopped = NO_ROOM;
            return NULL;
        }
        if ((p = past_npi(c, p, end, &npi)) == NULL)
            return NULL;
        if (npi == BLANK_NPI)
            blank = true;
        else
            npis[count++] = npi;
    }
    if (p == NULL)
        return NULL;
    count = distinct(npis, count);
    if (count == 0 || blank) {
        npis[count++] = BLANK_NPI;
        c->blanks++;
    }
    c->npi_count += count;
    return p;
}

/* A TIN of nine digits or more, with or without dashes, other than zero: no rule changes it. Its digits go
   behind those that are there; NULL where it is anything else. */
INLINE place past_plain_tin(columns *c, place p, place end) {
    uint8_t *digits = c->digits + c->digit_count;
    int64_t count = 0;
    bool zero = true;
    if (*p != '"' || c->digit_room - c->digit_count < 20)
        return NULL;
    for (p++; p < end && *p != '"'; p++) {
        if (is_digit(*p)) {
            if (count == 20)
                return NULL;
            zero &= *p == '0';
            digits[count++] = *p;
        } else if (*p != '-') {
            return NULL;
        }
    }
    if (count < 9 || zero || p >= end)
        return NULL;
    c->digit_count += count;
    return p + 1;
}

/* A TIN: its type and business name, and its digits; or the text that all of them are cleaned from */
static place past_tin(columns *c, place p, place end, int32_t *type, int32_t *name, int32_t *odd) {
    const place start = p;
    const int64_t digits = c->digit_count;
    bool more, plain = true;
    int seen = 0;
    place quote, at;
    if (*p == '{') {
        for (p = past_opening(p, end, '}', &more); p != NULL && more; p = p == NULL ? p : past_separator(p, end, '}', &more)) {
            const place key = p + 1;
            if ((p = past_key(p, end, &quote)) == NULL)
                return NULL;
            const int which = IS_KEY(key, quote - key, "type") ? 1
                              : IS_KEY(key, quote - key, "value")       ? 2
                              : IS_KEY(key, quote - key, "business_name") ? 4
                                                                          : 0;
            if (seen & which)
                return NULL;
            seen |= which;
            if (which == 1) {
                p = past_text(c, AS_TEXT, p, end, type);
            } else if (which == 4) {
                p = past_text(c, AS_TEXT, p, end, name);
            } else if (which == 0) {
                p = past_value(c, p, end);
            } else if ((at = past_plain_tin(c, p, end)) != NULL || (at = past_null(p, end)) != NULL) {
                p = at;
            } else {
                plain = false;
                p = *p == '{' || *p == '[' ? NULL : past_scalar(c, p, end);
            }
        }
        if (p == NULL || plain)
            return p;
        c->digit_count = digits;
        *type = *name = 0;
    } else if ((at = past_null(p, end)) != NULL) {
        return at;
    } else if (*p == '[' || (p = past_scalar(c, p, end)) == NULL) {
        return NULL;
    }
    if (p - start > c->value_bytes)
        return NULL;
    const text *found = interned(c, AS_TIN, start, p);
    if (found == NULL)
        return NULL;
    *odd = (int32_t)found->number;
    return p;
}

/* One provider group of a rate or reference */
static place past_group(columns *c, place p, place end, int64_t owner) {
    int32_t type = 0, name = 0, odd = 0;
    const int64_t first = c->npi_count, blanks = c->blanks;
    bool more, given = false;
    int seen = 0;
    place quote, at;
    if (*p != '{')
        return NULL;
    for (p = past_opening(p, end, '}', &more); p != NULL && more; p = p == NULL ? p : past_separator(p, end, '}', &more)) {
        const place key = p + 1;
        if ((p = past_key(p, end, &quote)) == NULL)
            return NULL;
        const int64_t size = quote - key;
        const int which = size != 3 ? 0 : IS_TEXT(key, 0, "npi") ? 1 : IS_TEXT(key, 0, "tin") ? 2 : IS_TEXT(key, 0, "NPI") ? 4 : 0;
        if (seen & which)
            return NULL;
        seen |= which;
        if (which == 2) {
            p = past_tin(c, p, end, &type, &name, &odd);
        } else if (which == 0) {
            p = past_value(c, p, end);
        } else if ((at = past_null(p, end)) != NULL) {
            p = at;
        } else { /* "NPI" counts where there is no "npi" */
            c->npi_count = given ? c->npi_count : first;
            c->blanks = given ? c->blanks : blanks;
            const int64_t npis_before = c->npi_count, blanks_before = c->blanks;
            p = past_npis(c, p, end);
            if (given) {
                c->npi_count = npis_before;
                c->blanks = blanks_before;
            }
            given |= which == 1;
        }
    }
    if (p == NULL)
        return NULL;
    if (c->npi_count == first) {
        if (c->npi_room - c->npi_count < 1) {
            c->stopped = NO_ROOM;
            return NULL;
        }
        c->npis[c->npi_count++] = BLANK_NPI;
        c->blanks++;
    }
    int64_t group_size = 0;
    for (int64_t npi = first; npi < c->npi_count; npi++)
        group_size += c->npis[npi] > 0;
    const int64_t digits = c->digit_count - (c->group_count == 0 ? 0 : c->group_digits_end[c->group_count - 1]);
    for (int64_t npi = first; npi < c->npi_count; npi += NPIS_PER_ROW) {
        const int64_t row = c->group_count;
        if (row == c->group_room || c->digit_room - c->digit_count < 40) {
            c->stopped = NO_ROOM;
            return NULL;
        }
        if (npi != first) { /* the same TIN in each row */
            memcpy(c->digits + c->digit_count, c->digits + c->digit_count - digits, (size_t)digits);
            c->digit_count += digits;
        }
        const int64_t npis_end = npi + NPIS_PER_ROW < c->npi_count ? npi + NPIS_PER_ROW : c->npi_count;
        c->group_owner[row] = owner;
        c->group_tin_type[row] = type;
        c->group_tin[row] = odd;
        c->group_name[row] = name;
        c->group_size[row] = group_size;
        c->group_digits_end[row] = (int32_t)c->digit_count;
        c->group_npis_end[row] = (int32_t)npis_end;
        c->group_count++;
    }
    return p;
}

typedef place (*past_object)(columns *c, place p, place end, int64_t owner);

/* An array of objects, or one of them or null in its place. A null among them says nothing. */
INLINE place past_objects(columns *c, place p, place end, past_object past, int64_t owner) {
    bool more;
    place at = past_null(p, end);
    if (at != NULL)
        return at;
    if (*p != '[') {
        c->singles++;
        return past(c, p, end, owner);
    }
    for (p = past_opening(p, end, ']', &more); p != NULL && more; p = p == NULL ? p : past_separator(p, end, ']', &more)) {
        at = past_null(p, end);
        c->nulls += at != NULL;
        p = at != NULL ? at : past(c, p, end, owner);
    }
    return p;
}

/* One reference that a rate cites, but not yet which rate */
INLINE place past_citation(columns *c, place p, place end) {
    const int64_t row = c->citation_count;
    if (row == c->citation_room) {
        c->stopped = NO_ROOM;
        return NULL;
    }
    if ((p = past_id(c, p, end, &c->citation_key[row])) == NULL)
        return NULL;
    c->citation_count++;
    return p;
}

/* All of them */
static place past_citations(columns *c, place p, place end, int64_t rate_id) {
    const int64_t first = c->citation_count;
    bool more = false;
    const place at = past_null(p, end);
    if (at != NULL)
        return at;
    if (*p == '[') {
        p = past_opening(p, end, ']', &more);
    } else {
        c->singles++;
        p = past_citation(c, p, end);
    }
    for (; p != NULL && more; p = p == NULL ? p : past_separator(p, end, ']', &more)) {
        p = past_plain_ids(p, end, c->citation_key + c->citation_count, c->citation_room - c->citation_count, &c->citation_count);
        if (UNLIKELY(*p <= ' ') && (p = at_next(p, end)) == NULL)
            return NULL;
        p = past_citation(c, p, end);
    }
    for (int64_t row = first; row < c->citation_count; row++)
        c->citation_rate[row] = rate_id;
    return p;
}

/* One element of negotiated_rates */
static place past_rate_element(columns *c, place p, place end, int64_t unused) {
    const int64_t rate_id = c->next_rate, prices = c->price_count;
    bool more, given = false;
    int seen = 0;
    place quote, at;
    (void)unused;
    if (*p != '{')
        return NULL;
    for (p = past_opening(p, end, '}', &more); p != NULL && more; p = p == NULL ? p : past_separator(p, end, '}', &more)) {
        const place key = p + 1;
        if ((p = past_key(p, end, &quote)) == NULL)
            return NULL;
        const int64_t size = quote - key;
        const int which = IS_KEY(key, size, "negotiated_prices")     ? 1
                          : IS_KEY(key, size, "provider_references") ? 2
                          : IS_KEY(key, size, "provider_groups")     ? 4
                          : IS_KEY(key, size, "negotiated_price")    ? 8
                                                                     : 0;
        if (seen & which)
            return NULL;
        seen |= which;
        if (which == 2) {
            p = past_citations(c, p, end, rate_id);
        } else if (which == 4) {
            p = past_objects(c, p, end, past_group, rate_id);
        } else if (which == 0 || (which == 8 && given)) {
            p = past_value(c, p, end);
        } else if ((at = past_null(p, end)) != NULL) {
            p = at;
        } else { /* "negotiated_price" counts where there are no "negotiated_prices" */
            c->price_count = prices;
            p = past_objects(c, p, end, past_price, rate_id);
            given |= which == 1;
        }
    }
    c->next_rate++;
    return p;
}

/* A code or its type: whether it is wanted, and its text's number */
static place past_code(columns *c, int64_t rule, place p, place end, int32_t *number, bool *wanted) {
    if (*p == '{' || *p == '[')
        return NULL;
    const place at = past_scalar(c, p, end);
    if (at == NULL || at - p > c->value_bytes)
        return NULL;
    const text *found = interned(c, rule, p, at);
    if (found == NULL)
        return NULL;
    if (found->state == UNREAD) { /* before its rates are decoded */
        c->stopped = TEXTS_UNREAD;
        return NULL;
    }
    *number = (int32_t)found->number;
    *wanted = found->value != 0;
    return at;
}

/* One element of in_network; its rows are kept if its code is wanted */
static place past_item(columns *c, place p, place end, bool *kept) {
    int32_t arrangement = 0, code = 0, code_type = 0;
    bool more, wanted = false, wanted_type = true;
    const int64_t first = c->next_rate;
    int seen = 0;
    place quote;
    if (*p != '{')
        return NULL;
    for (p = past_opening(p, end, '}', &more); p != NULL && more; p = p == NULL ? p : past_separator(p, end, '}', &more)) {
        const place key = p + 1;
        if ((p = past_key(p, end, &quote)) == NULL)
            return NULL;
        const int64_t size = quote - key;
        const int which = IS_KEY(key, size, "negotiated_rates")          ? 1
                          : IS_KEY(key, size, "billing_code")            ? 2
                          : IS_KEY(key, size, "billing_code_type")       ? 4
                          : IS_KEY(key, size, "negotiation_arrangement") ? 8
                                                                         : 0;
        if (seen & which)
            return NULL;
        seen |= which;
        if (which == 1)
            p = past_objects(c, p, end, past_rate_element, 0);
        else if (which == 2)
            p = past_code(c, AS_CODE, p, end, &code, &wanted);
        else if (which == 4)
            p = past_code(c, AS_CODE_TYPE, p, end, &code_type, &wanted_type);
        else if (which == 8)
            p = past_text(c, AS_TEXT, p, end, &arrangement);
        else
            p = past_value(c, p, end);
    }
    if (p == NULL)
        return NULL;
    if (c->item_count == c->item_room) {
        c->stopped = NO_ROOM;
        return NULL;
    }
    *kept = wanted && wanted_type;
    const int64_t row = c->item_count;
    c->item_arrangement[row] = arrangement;
    c->item_code[row] = code;
    c->item_code_type[row] = code_type;
    c->item_first[row] = first;
    c->item_end[row] = c->next_rate;
    c->item_offset[row] = c->offset;
    c->item_count++;
    return p;
}

INLINE bool is_among(const int64_t *sorted, int64_t count, int64_t value) {
    int64_t first = 0;
    while (count > 1) {
        const int64_t half = count / 2;
        first = sorted[first + half] <= value ? first + half : first;
        count -= half;
    }
    return count == 1 && sorted[first] == value;
}

/* One element of provider_references; its rows are kept if it is cited */
static place past_reference(columns *c, place p, place end, bool *kept) {
    const int64_t groups = c->group_count;
    int32_t location = 0, networks = 0;
    int64_t key_number = NO_KEY;
    bool more;
    int seen = 0;
    place quote;
    if (*p != '{')
        return NULL;
    for (p = past_opening(p, end, '}', &more); p != NULL && more; p = p == NULL ? p : past_separator(p, end, '}', &more)) {
        const place key = p + 1;
        if ((p = past_key(p, end, &quote)) == NULL)
            return NULL;
        const int64_t size = quote - key;
        const int which = IS_KEY(key, size, "provider_group_id") ? 1
                          : IS_KEY(key, size, "provider_groups") ? 2
                          : IS_KEY(key, size, "network_name")    ? 4
                          : IS_KEY(key, size, "location")        ? 8
                                                                 : 0;
        if (seen & which)
            return NULL;
        seen |= which;
        if (which == 1 && (p = past_id(c, p, end, &key_number)) != NULL && c->unread != 0) {
            c->stopped = TEXTS_UNREAD;
            return NULL;
        }
        if (which == 1)
            continue;
        if (which == 2)
            p = past_objects(c, p, end, past_group, c->next_reference);
        else if (which == 4)
            p = past_list(c, AS_NAMES, p, end, &networks);
        else if (which == 8)
            p = past_text(c, AS_TEXT, p, end, &location);
        else
            p = past_value(c, p, end);
    }
    if (p == NULL)
        return NULL;
    if (c->reference_count == c->reference_room) {
        c->stopped = NO_ROOM;
        return NULL;
    }
    *kept = key_number != NO_KEY && is_among(c->cited, c->cited_count, key_number);
    const int64_t row = c->reference_count;
    c->reference_no[row] = c->next_reference;
    c->reference_key[row] = key_number;
    c->reference_location[row] = location;
    c->reference_networks[row] = networks;
    c->reference_groups[row] = c->group_count - groups;
    c->reference_offset[row] = c->offset;
    c->reference_count++;
    return p;
}

/* How many rows there are: what an element is taken back to */
typedef struct {
    int64_t items, prices, citations, groups, digits, npis, blanks, references, rate, singles, nulls;
} row_counts;

INLINE row_counts counts_of(const columns *c) {
    return (row_counts){c->item_count,  c->price_count, c->citation_count,  c->group_count, c->digit_count,
                        c->npi_count,   c->blanks,      c->reference_count, c->next_rate,   c->singles,
                        c->nulls};
}

INLINE void take_back(columns *c, const row_counts *counts) {
    c->item_count = counts->items;
    c->price_count = counts->prices;
    c->citation_count = counts->citations;
    c->group_count = counts->groups;
    c->digit_count = counts->digits;
    c->npi_count = counts->npis;
    c->blanks = counts->blanks;
    c->reference_count = counts->references;
    c->next_rate = counts->rate;
    c->singles = counts->singles;
    c->nulls = counts->nulls;
}

/* Decode the element of a section that begins at `p`: past it, or NULL and in `stopped` why there are no rows of it.
   `kept`: whether it is wanted. */
static place past_element(columns *c, place p, place end, int64_t section, bool *kept) {
    const row_counts before = counts_of(c);
    const bool items = section == ITEMS, rates = section == RATES;
    *kept = true;
    c->stopped = ODD_ELEMENT;
    const place at = items ? past_item(c, p, end, kept)
                     : rates ? past_rate_element(c, p, end, 0)
                             : past_reference(c, p, end, kept);
    const bool whole = at != NULL && c->unread == 0;
    if (!whole || !*kept)
        take_back(c, &before);
    if (!whole) {
        if (at != NULL)
            c->stopped = TEXTS_UNREAD;
        return NULL;
    }
    if (items) {
        c->items_seen++;
        c->items_matched += *kept;
    } else if (!rates) {
        c->references_seen++;
        c->next_reference++;
    }
    c->stopped = DECODED;
    return at;
}

/* Decode elements `first` to `count` of a section into columns: the number of the element in front of which it stopped
   (`stopped` says why), or `count`. */
PUBLIC int64_t EXPORTED(decode)(
    columns *c, const uint8_t *data, const index_row *rows, int64_t first, int64_t count, int64_t section) {
    bool kept;
    c->stopped = DECODED;
    for (; first < count; first++) {
        c->offset = c->base + rows[first].start;
        if (past_element(c, data + rows[first].start, data + rows[first].end, section, &kept) == NULL)
            break;
    }
    return first;
}

enum { IN_VAIN = 8 };

/* Likewise the elements that follow each other from where the scan is, without a scan: for where most are wanted.
   It also stops in front of a value other than an object, and of one that does not end in these data: ODD_ELEMENT. */
PUBLIC int64_t EXPORTED(decode_ahead)(columns *c, const uint8_t *data, int64_t size, scan_state *state) {
    const place end = data + size;
    int64_t in_vain = IN_VAIN;
    bool kept;
    c->stopped = ODD_ELEMENT;
    while (true) {
        place p = at_next(data + state->pos, end);
        if (p != NULL && state->state == AFTER_ELEMENT)
            p = *p == ',' ? at_next(p + 1, end) : NULL;
        if (p == NULL || *p != '{')
            break;
        state->pos = p - data;
        state->state = ELEMENT_NEXT;
        c->offset = c->base + state->pos;
        if ((p = past_element(c, p, end, state->section, &kept)) == NULL)
            break;
        state->pos = p - data;
        state->state = AFTER_ELEMENT;
        in_vain += kept ? 1 : -1;
        if (in_vain == 0) {
            c->stopped = MOSTLY_UNWANTED;
            break;
        }
    }
    return state->pos;
}
