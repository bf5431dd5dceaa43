/* The kernel for one level of processors: one translation unit, so that all of it can be inlined.
   hatch_build.py compiles it once for each level, with -DLEVEL=name. */

#include "kernel.h"
#include "masks.h"
#include "columns.h"

#include "strings.c"
#include "hashes.c"
#include "nested.c"
#include "skim.c"
#include "elements.c"
#include "utf8.c"
#include "children.c"
#include "csv_columns.c"
#include "json.c"
#include "texts.c"
#include "numbers.c"
#include "forms.c"
#include "rows.c"

PUBLIC int64_t EXPORTED(string_end)(const uint8_t *data, int64_t size, int64_t pos) {
    bool escapes;
    return string_end(data, size, pos, &escapes);
}
PUBLIC int64_t EXPORTED(scalar_end)(const uint8_t *data, int64_t size, int64_t pos) {
    return scalar_end(data, size, pos);
}
PUBLIC int64_t EXPORTED(skip_blanks)(const uint8_t *data, int64_t size, int64_t pos) {
    return skip_blanks(data, size, pos);
}
