// Tight loops, for the tests and benchmarks of package meter. tight.wasm is made from it by testdata/make.sh.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(#name))) name

static u8 buf[1 << 16];
static u32 table[256];

u32 EXPORT(sum)(u32 rounds) {
	u32 s = 0;
	for (u32 r = 0; r < rounds; r++)
		for (u32 i = 0; i < sizeof buf; i++) s += buf[i] ^ r;
	return s;
}

u32 EXPORT(xorshift)(u32 n) {
	u32 x = 2463534242u;
	while (n--) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
	}
	return x;
}

u32 EXPORT(sieve)(u32 rounds) {
	u32 count = 0;
	while (rounds--) {
		count = 0;
		for (u32 i = 0; i < sizeof buf; i++) buf[i] = 1;
		for (u32 i = 2; i < sizeof buf; i++) {
			if (!buf[i]) continue;
			count++;
			for (u32 k = i + i; k < sizeof buf; k += i) buf[k] = 0;
		}
	}
	return count;
}

u32 EXPORT(crc)(u32 rounds) {
	for (u32 i = 0; i < 256; i++) {
		u32 c = i;
		for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
		table[i] = c;
	}
	u32 c = ~0u;
	while (rounds--)
		for (u32 i = 0; i < sizeof buf; i++) c = table[(c ^ buf[i]) & 0xff] ^ (c >> 8);
	return ~c;
}

u32 EXPORT(matrix)(u32 n) {
	static double a[32][32], b[32][32], c[32][32];
	for (int i = 0; i < 32; i++)
		for (int k = 0; k < 32; k++) a[i][k] = i + k, b[i][k] = i - k;
	while (n--)
		for (int i = 0; i < 32; i++)
			for (int j = 0; j < 32; j++) {
				double s = 0;
				for (int k = 0; k < 32; k++) s += a[i][k] * b[k][j];
				c[i][j] = s + c[j][i] / 2;
			}
	return (u32)(u64)(c[3][5] * 1000);
}

__attribute__((noinline)) u32 fibonacci(u32 n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
u32 EXPORT(fib)(u32 n) { return fibonacci(n); }

__attribute__((noinline)) static u32 mix(u32 a, u32 b) { return (a << 5 | a >> 27) ^ b * 2654435761u; }
u32 EXPORT(leaf)(u32 n) {
	u32 h = 1;
	for (u32 i = 0; i < n; i++) h = mix(h, i);
	return h;
}
