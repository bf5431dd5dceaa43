/* What the library says of itself: which sources it is made of, and what this processor can do. */

#define PUBLIC __attribute__((visibility("default")))

PUBLIC extern const char kernel_stamp[];
const char kernel_stamp[] = STAMP;
PUBLIC extern const char kernel_machine[];
const char kernel_machine[] = MACHINE;

#if defined(__x86_64__)
#include <cpuid.h>

static unsigned enabled_registers(void) { /* those that the system saves when it changes processes */
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int has_all(unsigned word, unsigned bits) { return (word & bits) == bits; }

static int levels(void) {
    unsigned eax, ebx, ecx, edx;
    const unsigned pclmul_popcnt_osxsave = 1u << 1 | 1u << 23 | 1u << 27;
    const unsigned bmi_avx2_bmi2 = 1u << 3 | 1u << 5 | 1u << 8, avx512_f_bw_vl = 1u << 16 | 1u << 30 | 1u << 31;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has_all(ecx, pclmul_popcnt_osxsave))
        return 2;
    const unsigned registers = enabled_registers();
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !has_all(ebx, bmi_avx2_bmi2) || !has_all(registers, 0x06))
        return 2;
    return has_all(ebx, avx512_f_bw_vl) && has_all(registers, 0xE6) ? 4 : 3;
}
#elif defined(__aarch64__)
static int levels(void) { return 2; }
#else
static int levels(void) { return 1; }
#endif

/* How many of stamp.LEVELS, from the most portable on, this processor can run */
PUBLIC int kernel_levels(void);
int kernel_levels(void) { return levels(); }
