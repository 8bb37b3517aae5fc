#!/usr/bin/env bash
# clang 19.1.7 with -fsanitize=thread announces only the first field of a structure on the stack whose address was passed to
# another function. The documentation (https://clang.llvm.org/docs/ThreadSanitizer.html) names no such exception, and gcc 12
# announces every field. So clang's build of a program does not show a race on the second field.
# Exit status: 0 the behaviour is as described, 1 it has changed. Needs Debian 12's apt-get.
set -euo pipefail

version=1:19.1.7-3~deb12u1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq -o APT::Sandbox::User=root clang-19=$version libclang-cpp19=$version libllvm19=$version
for package in *.deb; do dpkg-deb -x "$package" clang; done

cat >lent.c <<'C'
struct lent { long first, second; };
void publish(struct lent *);
void write_first(void) { struct lent l = { 0 }; publish(&l); l.first = 1; publish(&l); }
void write_second(void) { struct lent l = { 0 }; publish(&l); l.second = 1; publish(&l); }
C
LD_LIBRARY_PATH=clang/usr/lib/x86_64-linux-gnu:clang/usr/lib/llvm-19/lib \
    clang/usr/lib/llvm-19/bin/clang -O2 -fsanitize=thread -S -o lent.s lent.c

# The writes that a function announces after the first call of `publish`.
announced() {
    sed -n "/^$1:/,/^\.Lfunc_end/p" lent.s | sed '0,/publish/d' | grep -c '__tsan_write8' || true
}
said="write_first: $(announced write_first), write_second: $(announced write_second)"
echo "clang $version: writes that are announced: $said"
[ "$said" = "write_first: 1, write_second: 0" ] || exit 1
