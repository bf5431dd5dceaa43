/* Sixty-four bytes at once: one bit for each byte's answer, the first byte lowest. And words, bytes, bits.

   Which instructions do it is the level's matter: AVX-512, AVX2, SSE2, NEON, or none but those of plain C. */

#ifndef MASKS_H
#define MASKS_H

#include "kernel.h"

#if defined(PORTABLE)
#elif defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define WITH_NEON
#else
#define PORTABLE
#endif

INLINE int64_t byte_at(const uint8_t *data, int64_t offset) { return data[offset]; }

INLINE uint64_t word_at(const uint8_t *data, int64_t offset) {
    uint64_t word;
    memcpy(&word, data + offset, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

INLINE int64_t lowest_one(uint64_t word) { return word ? __builtin_ctzll(word) : 64; }

INLINE int64_t count_ones(uint64_t word) {
#if defined(__POPCNT__) || defined(WITH_NEON)
    return __builtin_popcountll(word);
#else
    word -= word >> 1 & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
    return (int64_t)(word * 0x0101010101010101u >> 56);
#endif
}

/* Each bit the XOR of itself and all lower ones: from quotes to ones within strings */
INLINE uint64_t running_parity(uint64_t word) {
#if defined(__PCLMUL__) && !defined(PORTABLE)
    const __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)word), _mm_set1_epi8(-1), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
#else
    word ^= word << 1;
    word ^= word << 2;
    word ^= word << 4;
    word ^= word << 8;
    word ^= word << 16;
    word ^= word << 32;
    return word;
#endif
}

/* Each level says: bytes that are `byte`; that are it but for bit 5; that have bit 5; below 32; from 128 on; below 33 or
   from 128 on; digits. */

#if defined(PORTABLE)

#define LOW7 0x7F7F7F7F7F7F7F7Fu
#define ONES 0x0101010101010101u

INLINE uint64_t gathered(uint64_t high_bits) { return (high_bits >> 7) * 0x0102040810204080u >> 56; }
/* The high bit of each byte that is zero; that is from 128 on or, without its high bit, at least 128 - `least` */
INLINE uint64_t zero_bytes(uint64_t x) { return ~(((x & LOW7) + LOW7) | x | LOW7); }
INLINE uint64_t word_equal(uint64_t x, uint8_t byte) { return zero_bytes(x ^ ONES * byte); }
INLINE uint64_t word_folded(uint64_t x, uint8_t byte) { return zero_bytes((x | ONES * 32) ^ ONES * byte); }
INLINE uint64_t word_bit5(uint64_t x, uint8_t unused) { (void)unused; return (x << 2) & ~LOW7; }
INLINE uint64_t word_controls(uint64_t x, uint8_t unused) { (void)unused; return zero_bytes(x & ONES * 0xE0); }
INLINE uint64_t word_high(uint64_t x, uint8_t unused) { (void)unused; return x & ~LOW7; }
INLINE uint64_t word_below_33(uint64_t x, uint8_t unused) {
    (void)unused;
    return (x | ~((x & LOW7) + ONES * (128 - 33))) & ~LOW7;
}
INLINE uint64_t word_digits(uint64_t x, uint8_t unused) {
    (void)unused;
    x ^= ONES * 48;
    return ~(((x & LOW7) + ONES * (128 - 10)) | x) & ~LOW7;
}
#define SIXTY_FOUR(name, each)                                                                                         \
    INLINE uint64_t name(const uint8_t *data, int64_t offset, uint8_t byte) {                                          \
        uint64_t bits = 0;                                                                                             \
        for (int i = 0; i < 8; i++)                                                                                    \
            bits |= gathered(each(word_at(data, offset + 8 * i), byte)) << (8 * i);                                    \
        return bits;                                                                                                   \
    }
SIXTY_FOUR(equal_bytes, word_equal)
SIXTY_FOUR(folded_bytes, word_folded)
SIXTY_FOUR(bit5_bytes, word_bit5)
SIXTY_FOUR(control_bytes, word_controls)
SIXTY_FOUR(high_bytes, word_high)
SIXTY_FOUR(below_33_bytes, word_below_33)
SIXTY_FOUR(digit_bytes, word_digits)
INLINE uint64_t word_stops(uint64_t x, uint8_t unused) {
    return word_equal(x, '"') | word_equal(x, '\\') | word_controls(x, unused);
}
SIXTY_FOUR(stop_bytes, word_stops)

#elif defined(__AVX512BW__)

INLINE __m512i block_at(const uint8_t *data, int64_t offset) { return _mm512_loadu_si512(data + offset); }
INLINE __m512i all_bytes(uint8_t byte) { return _mm512_set1_epi8((char)byte); }
#define SIXTY_FOUR(name, answer)                                                                                       \
    INLINE uint64_t name(const uint8_t *data, int64_t offset, uint8_t byte) {                                          \
        const __m512i x = block_at(data, offset);                                                                      \
        (void)byte;                                                                                                    \
        return (answer);                                                                                               \
    }
SIXTY_FOUR(equal_bytes, _mm512_cmpeq_epi8_mask(x, all_bytes(byte)))
SIXTY_FOUR(folded_bytes, _mm512_cmpeq_epi8_mask(_mm512_or_si512(x, all_bytes(32)), all_bytes(byte)))
SIXTY_FOUR(bit5_bytes, _mm512_test_epi8_mask(x, all_bytes(32)))
SIXTY_FOUR(control_bytes, _mm512_cmplt_epu8_mask(x, all_bytes(32)))
SIXTY_FOUR(high_bytes, _mm512_movepi8_mask(x))
SIXTY_FOUR(below_33_bytes, _mm512_cmplt_epi8_mask(x, all_bytes(33)))
SIXTY_FOUR(digit_bytes, _mm512_cmplt_epu8_mask(_mm512_sub_epi8(x, all_bytes(48)), all_bytes(10)))
SIXTY_FOUR(
    stop_bytes, _mm512_cmpeq_epi8_mask(x, all_bytes('"')) | _mm512_cmpeq_epi8_mask(x, all_bytes('\\')) |
                    _mm512_cmplt_epu8_mask(x, all_bytes(32)))

#elif defined(__x86_64__)

#if defined(__AVX2__)
typedef __m256i lane;
enum { LANE = 32 };
#define ON_LANE(operation) _mm256_##operation
INLINE lane lane_at(const uint8_t *data, int64_t offset) { return _mm256_loadu_si256((const void *)(data + offset)); }
INLINE lane lane_and(lane x, lane y) { return _mm256_and_si256(x, y); }
INLINE lane lane_or(lane x, lane y) { return _mm256_or_si256(x, y); }
#else
typedef __m128i lane;
enum { LANE = 16 };
#define ON_LANE(operation) _mm_##operation
INLINE lane lane_at(const uint8_t *data, int64_t offset) { return _mm_loadu_si128((const void *)(data + offset)); }
INLINE lane lane_and(lane x, lane y) { return _mm_and_si128(x, y); }
INLINE lane lane_or(lane x, lane y) { return _mm_or_si128(x, y); }
#endif
INLINE lane all_bytes(uint8_t byte) { return ON_LANE(set1_epi8)((char)byte); }
INLINE lane lane_equal(lane x, lane y) { return ON_LANE(cmpeq_epi8)(x, y); }
#define SIXTY_FOUR(name, answer)                                                                                       \
    INLINE uint64_t name(const uint8_t *data, int64_t offset, uint8_t byte) {                                          \
        uint64_t bits = 0;                                                                                             \
        (void)byte;                                                                                                    \
        for (int i = 0; i < 64; i += LANE) {                                                                           \
            const lane x = lane_at(data, offset + i);                                                                  \
            bits |= (uint64_t)(uint32_t)ON_LANE(movemask_epi8)(answer) << i;                                           \
        }                                                                                                              \
        return bits;                                                                                                   \
    }
SIXTY_FOUR(equal_bytes, lane_equal(x, all_bytes(byte)))
SIXTY_FOUR(folded_bytes, lane_equal(lane_or(x, all_bytes(32)), all_bytes(byte)))
SIXTY_FOUR(bit5_bytes, ON_LANE(slli_epi16)(x, 2))
SIXTY_FOUR(control_bytes, lane_equal(lane_and(x, all_bytes(0xE0)), all_bytes(0)))
SIXTY_FOUR(high_bytes, x)
SIXTY_FOUR(below_33_bytes, ON_LANE(cmpgt_epi8)(all_bytes(33), x))
INLINE lane from_zero(lane x) { return ON_LANE(sub_epi8)(x, all_bytes(48)); }
SIXTY_FOUR(digit_bytes, lane_equal(ON_LANE(min_epu8)(from_zero(x), all_bytes(9)), from_zero(x)))
INLINE lane lane_stops(lane x) {
    const lane controls = lane_equal(lane_and(x, all_bytes(0xE0)), all_bytes(0));
    return lane_or(lane_or(lane_equal(x, all_bytes('"')), lane_equal(x, all_bytes('\\'))), controls);
}
SIXTY_FOUR(stop_bytes, lane_stops(x))

#else

INLINE uint64_t gathered(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
    const uint8x16_t bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t ab = vpaddq_u8(vandq_u8(a, bit), vandq_u8(b, bit));
    const uint8x16_t cd = vpaddq_u8(vandq_u8(c, bit), vandq_u8(d, bit));
    const uint8x16_t all = vpaddq_u8(ab, cd);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(all, all)), 0);
}
INLINE uint8x16_t all_bytes(uint8_t byte) { return vdupq_n_u8(byte); }
#define SIXTY_FOUR(name, answer)                                                                                       \
    INLINE uint8x16_t name##_lane(uint8x16_t x, uint8_t byte) {                                                        \
        (void)byte;                                                                                                    \
        return (answer);                                                                                               \
    }                                                                                                                  \
    INLINE uint64_t name(const uint8_t *data, int64_t offset, uint8_t byte) {                                          \
        const uint8_t *at = data + offset;                                                                             \
        return gathered(                                                                                               \
            name##_lane(vld1q_u8(at), byte), name##_lane(vld1q_u8(at + 16), byte),                                     \
            name##_lane(vld1q_u8(at + 32), byte), name##_lane(vld1q_u8(at + 48), byte));                               \
    }
SIXTY_FOUR(equal_bytes, vceqq_u8(x, all_bytes(byte)))
SIXTY_FOUR(folded_bytes, vceqq_u8(vorrq_u8(x, all_bytes(32)), all_bytes(byte)))
SIXTY_FOUR(bit5_bytes, vtstq_u8(x, all_bytes(32)))
SIXTY_FOUR(control_bytes, vcltq_u8(x, all_bytes(32)))
SIXTY_FOUR(high_bytes, vcgeq_u8(x, all_bytes(128)))
SIXTY_FOUR(below_33_bytes, vcltq_s8(vreinterpretq_s8_u8(x), vdupq_n_s8(33)))
SIXTY_FOUR(digit_bytes, vcltq_u8(vsubq_u8(x, all_bytes(48)), all_bytes(10)))
SIXTY_FOUR(
    stop_bytes, vorrq_u8(
                    vorrq_u8(vceqq_u8(x, all_bytes('"')), vceqq_u8(x, all_bytes('\\'))), vcltq_u8(x, all_bytes(32))))

#endif

INLINE uint64_t bytes_at(const uint8_t *data, int64_t offset, uint8_t byte) { return equal_bytes(data, offset, byte); }
INLINE uint64_t quotes_at(const uint8_t *data, int64_t offset) { return equal_bytes(data, offset, '"'); }
INLINE uint64_t slashes_at(const uint8_t *data, int64_t offset) { return equal_bytes(data, offset, '\\'); }
/* Brackets of both kinds differ in bit 5, which means nothing elsewhere */
INLINE uint64_t opens_at(const uint8_t *data, int64_t offset) { return folded_bytes(data, offset, '{'); }
INLINE uint64_t closes_at(const uint8_t *data, int64_t offset) { return folded_bytes(data, offset, '}'); }
INLINE uint64_t curly_at(const uint8_t *data, int64_t offset) { return bit5_bytes(data, offset, 0); }
INLINE uint64_t controls_at(const uint8_t *data, int64_t offset) { return control_bytes(data, offset, 0); }
INLINE uint64_t digits_at(const uint8_t *data, int64_t offset) { return digit_bytes(data, offset, 0); }
INLINE uint64_t beyond_ascii_at(const uint8_t *data, int64_t offset) { return high_bytes(data, offset, 0); }
/* What a plain string does not hold: backslashes and controls */
INLINE uint64_t oddities_at(const uint8_t *data, int64_t offset) {
    return slashes_at(data, offset) | controls_at(data, offset);
}
/* Where a string may end, or stops being plain */
INLINE uint64_t stops_at(const uint8_t *data, int64_t offset) { return stop_bytes(data, offset, 0); }
/* What a plain code does not hold: blanks, controls, backslashes, DEL, bytes of a character of several bytes */
INLINE uint64_t beyond_code_at(const uint8_t *data, int64_t offset) {
    return below_33_bytes(data, offset, 0) | slashes_at(data, offset) | equal_bytes(data, offset, 127);
}
INLINE uint64_t blanks_at(const uint8_t *data, int64_t offset) {
    return equal_bytes(data, offset, ' ') | equal_bytes(data, offset, '\n') | equal_bytes(data, offset, '\r') |
           equal_bytes(data, offset, '\t');
}

#define ODD_BITS 0xAAAAAAAAAAAAAAAAu
#define LOWER_HALF 0xFFFFFFFFu
#define ALL_ONES 0xFFFFFFFFFFFFFFFFu

/* Which of the first `lanes` bytes of a block count */
INLINE uint64_t first_lanes(int64_t lanes) { return lanes < 64 ? ((uint64_t)1 << lanes) - 1 : ALL_ONES; }

#endif
