// CRC32C by carry-less multiplication of 64 bytes at once.
//
// What is ahead of a stretch of zeros of D bytes counts for x^(8D) times itself, modulo the polynomial: so 16 bytes are
// carried over the D bytes that follow by two multiplications, with x^(8D+31) and x^(8D-33), bits reflected. V. Gopal et
// al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel, 2009. The last 16 bytes are for
// the instruction that the processor has for this very checksum.
#include "ws_crc32c.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.2")))

bool ws_crc32c_has_wide(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq") &&
         __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.2");
}

// The factors that carry 16 bytes over D bytes: of their second half and of their first, the order of _mm512_set.
#define OVER_16 0x493c7d27, 0xf20c0dfe
#define OVER_32 0xba4fc28e, 0x3da6d0cb
#define OVER_48 0xddc0152b, 0x1c291d04
#define OVER_64 0x9e4addf8, 0x740eef02
#define OVER_256 0xb9e02b86, 0xdcb17aa4

WIDE static inline __m512i load(const uint8_t *p) { return _mm512_loadu_si512(p); }

// Four times 16 bytes, each carried over as many bytes as its factors are for, and added to what is there.
WIDE static inline __m512i carried(__m512i bytes, __m512i factors, __m512i there) {
  __m512i first = _mm512_clmulepi64_epi128(bytes, factors, 0x00);
  __m512i second = _mm512_clmulepi64_epi128(bytes, factors, 0x11);
  return _mm512_ternarylogic_epi64(first, second, there, 0x96);
}

WIDE uint32_t ws_crc32c_wide(uint32_t crc, const void *data, size_t length) {
  const uint8_t *p = data;
  crc = ~crc;
  if (length >= 64) {
    const __m512i over_64 = _mm512_set4_epi64(OVER_64, OVER_64);
    __m512i sum = _mm512_xor_si512(load(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
    p += 64, length -= 64;
    if (length >= 192) {
      // Four at once, since a multiplication takes several cycles and each cycle begins one.
      const __m512i over_256 = _mm512_set4_epi64(OVER_256, OVER_256);
      __m512i second = load(p), third = load(p + 64), fourth = load(p + 128);
      for (p += 192, length -= 192; length >= 256; p += 256, length -= 256) {
        sum = carried(sum, over_256, load(p));
        second = carried(second, over_256, load(p + 64));
        third = carried(third, over_256, load(p + 128));
        fourth = carried(fourth, over_256, load(p + 192));
      }
      sum = carried(sum, over_64, second);
      sum = carried(sum, over_64, third);
      sum = carried(sum, over_64, fourth);
    }
    for (; length >= 64; p += 64, length -= 64) sum = carried(sum, over_64, load(p));
    // The first three quarters to the last.
    const __m512i to_last = _mm512_set_epi64(0, 0, OVER_16, OVER_32, OVER_48);
    sum = carried(sum, to_last, _mm512_maskz_mov_epi64(0xc0, sum));
    __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
    __m128i last = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    crc = (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(last));
    crc = (uint32_t)_mm_crc32_u64(crc, (uint64_t)_mm_extract_epi64(last, 1));
  }
  for (; length >= 8; p += 8, length -= 8) {
    uint64_t word;
    __builtin_memcpy(&word, p, sizeof word);
    crc = (uint32_t)_mm_crc32_u64(crc, word);
  }
  for (; length; p++, length--) crc = _mm_crc32_u8(crc, *p);
  return ~crc;
}

#else

bool ws_crc32c_has_wide(void) { return false; }
uint32_t ws_crc32c_wide(uint32_t crc, const void *data, size_t length) {
  return ws_crc32c_portable(crc, data, length);
}

#endif
