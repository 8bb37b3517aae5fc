#!/usr/bin/env bash
# A lock of C11 atomics protects a static variable. It is in the same file, in functions of its own. At -O2 clang 19.1.7 reads
# the variable before it takes the lock, and writes it in a later critical section; gcc 12.2.0 keeps it in a register from
# one critical section to the next. So increments by several threads get lost, although the program has no data race in C11.
# Both take a function that does not name the variable for one that cannot change it, and forget that an acquire operation
# lets another thread's changes in.
# Exit status: 0 the behaviour is as described, 1 it has changed. Needs Debian 12's apt-get.
set -euo pipefail

clang=1:19.1.7-3~deb12u1 gcc=12.2.0-14+deb12u1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq -o APT::Sandbox::User=root clang-19=$clang libclang-cpp19=$clang libllvm19=$clang gcc-12=$gcc cpp-12=$gcc
for package in *.deb; do dpkg-deb -x "$package" root; done

cat >lock.c <<'C'
static int locked, inside;
static void __attribute__((noinline)) enter(void) { while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE)) continue; }
static void __attribute__((noinline)) leave(void) { __atomic_store_n(&locked, 0, __ATOMIC_RELEASE); }
void twice(void) { for (int i = 0; i < 2; i++) { enter(); inside++; leave(); } }
C
libraries=root/usr/lib/x86_64-linux-gnu:root/usr/lib/llvm-19/lib
LD_LIBRARY_PATH=$libraries root/usr/lib/llvm-19/bin/clang -O2 -S -o clang.s lock.c
LD_LIBRARY_PATH=$libraries root/usr/bin/x86_64-linux-gnu-gcc-12 -B root/usr/lib/gcc/x86_64-linux-gnu/12/ -O2 -S -o gcc.s lock.c

# Calls and accesses of the variable in the order of the function's instructions.
order() {
    sed -n '/^twice:/,/^\s*\.size/p' "$1" |
        sed -nE 's/^\s*(call|callq|jmp)\s+(enter|leave).*/\2/p; s/^\s*mov\S*\s+inside.*/read/p; s/^\s*mov\S*\s.*,\s*inside.*/write/p' | xargs
}
echo "clang $clang: $(order clang.s)"
echo "gcc $gcc: $(order gcc.s)"
[ "$(order clang.s)" = "read enter leave enter write leave" ] || exit 1
[ "$(order gcc.s)" = "enter read leave enter write leave" ] || exit 1
