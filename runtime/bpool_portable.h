/* Max pooling on packed codes of any number of planes, in plain C: words are independent and compilers vectorise them.
 *
 * A greater code has more 0 bits, so the maximum over the taps inside the image is the AND of the taps' bits, and the
 * minimum (for channels whose code falls where the value rises) is the OR:
 *
 *     y[pixel][plane][word] = (AND over taps of (x[tap][plane][word] ^ minimum[word])) ^ minimum[word]
 *
 * minimum is uint64 [words], the same for all planes; bit 1 takes the minimum; its padding bits are 0, and so are
 * those of x and y. Every window must have a tap inside the image, as ONNX demands. Rows y0 <= y < y1 are computed; x
 * points at the pixel (0, 0) of the image, y at the pixel (y0, 0) of the output.
 */
#ifndef BITC_BPOOL_PORTABLE_H
#define BITC_BPOOL_PORTABLE_H

#include "base.h"

typedef struct bitc_bpool {
    int32_t in_h, in_w, out_w;              /* image and output size in pixels */
    int32_t words, planes;                  /* words of one plane of a pixel, planes */
    int32_t in_row_words, in_pixel_words;   /* strides */
    int32_t out_row_words, out_pixel_words;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
} bitc_bpool;

/* First tap of a window that begins at `start` and does not lie before the image. */
static inline int32_t bitc_bpool_first(int32_t start, int32_t dilation) {
    return start >= 0 ? 0 : (-start + dilation - 1) / dilation;
}

/* One past the last tap that does not lie behind the image. */
static inline int32_t bitc_bpool_last(int32_t start, int32_t dilation, int32_t size, int32_t kernel) {
    const int32_t fit = start < size ? (size - 1 - start) / dilation + 1 : 0;
    return fit < kernel ? fit : kernel;
}

/* y &= x ^ minimum over all words of a pixel; y = x ^ minimum if it is the first tap. */
static inline void bitc_bpool_tap(const bitc_bpool *g, const uint64_t *BITC_RESTRICT x,
                                  const uint64_t *BITC_RESTRICT minimum, uint64_t *BITC_RESTRICT y, int32_t first) {
    for (int32_t plane = 0; plane < g->planes; plane++, x += g->words, y += g->words) {
        if (first) {
            for (int32_t i = 0; i < g->words; i++) y[i] = x[i] ^ minimum[i];
        } else {
            for (int32_t i = 0; i < g->words; i++) y[i] &= x[i] ^ minimum[i];
        }
    }
}

static inline void bitc_bpool_max(const bitc_bpool *g, const uint64_t *x, const uint64_t *minimum, uint64_t *y,
                                  int32_t y0, int32_t y1) {
    for (int32_t row = y0; row < y1; row++, y += g->out_row_words) {
        const int32_t top = row * g->stride_h - g->pad_top;
        const int32_t i0 = bitc_bpool_first(top, g->dilation_h);
        const int32_t i1 = bitc_bpool_last(top, g->dilation_h, g->in_h, g->kernel_h);
        for (int32_t column = 0; column < g->out_w; column++) {
            uint64_t *to = y + (ptrdiff_t)column * g->out_pixel_words;
            const int32_t left = column * g->stride_w - g->pad_left;
            const int32_t j0 = bitc_bpool_first(left, g->dilation_w);
            const int32_t j1 = bitc_bpool_last(left, g->dilation_w, g->in_w, g->kernel_w);
            for (int32_t i = i0; i < i1; i++) {
                const uint64_t *line = x + (ptrdiff_t)(top + i * g->dilation_h) * g->in_row_words;
                for (int32_t j = j0; j < j1; j++) {
                    const uint64_t *from = line + (ptrdiff_t)(left + j * g->dilation_w) * g->in_pixel_words;
                    bitc_bpool_tap(g, from, minimum, to, i == i0 && j == j0);
                }
            }
            for (int32_t plane = 0; plane < g->planes; plane++, to += g->words) {
                for (int32_t k = 0; k < g->words; k++) to[k] ^= minimum[k];
            }
        }
    }
}

#endif
