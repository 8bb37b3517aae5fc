#!/usr/bin/env bash
# GRUB 2.06 changes the command line of a kernel. Its manual says of `linux` and of `multiboot` that "the rest of the line is
# passed verbatim" (https://www.gnu.org/software/grub/manual/grub/grub.html#multiboot). In fact the line is first read as GRUB's
# script language; then each word with a blank is put in double quotes, and each quote and backslash gets a backslash in front.
# So there is no way to pass a " or a \ on unchanged. The kernel here writes its command line to the serial line, and ends.
# Exit status: 0 the behaviour is as described, 1 it has changed. Needs Debian 12's apt-get, as, ld, qemu-system-x86_64, xorriso
# and mformat.
set -euo pipefail

version=2.06-13+deb12u2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq -o APT::Sandbox::User=root grub-common=$version grub-pc-bin=$version
for package in *.deb; do dpkg-deb -x "$package" grub; done

cat >kernel.s <<'ASM'
    .section .multiboot, "a"
    .long 0x1badb002, 0, -0x1badb002
    .text
    .globl _start
_start:
    mov 16(%ebx), %esi          # the command line
    mov $0x3f8, %dx
next:
    lodsb
    test %al, %al
    jz done
    out %al, %dx
    jmp next
done:
    mov $0xf4, %dx              # the end of QEMU
    out %al, %dx
    hlt
ASM
mkdir -p iso/boot/grub
as --32 -o kernel.o kernel.s
ld -m elf_i386 -Ttext=0x100000 --section-start=.multiboot=0xff000 -o iso/boot/kernel kernel.o
cat >iso/boot/grub/grub.cfg <<'CONFIG'
set timeout=0
menuentry finding {
    multiboot /boot/kernel quote='"' backslash='\' blank='a b' bare=a;b
}
CONFIG
grub/usr/bin/grub-mkrescue -d grub/usr/lib/grub/i386-pc -o boot.iso iso 2>mkrescue.log || { cat mkrescue.log >&2 && exit 2; }

said=$(timeout 120 qemu-system-x86_64 -accel tcg -m 64M -nodefaults -no-user-config -display none -no-reboot -serial stdio \
    -device isa-debug-exit,iobase=0xf4,iosize=4 -cdrom boot.iso -boot d </dev/null || [ $? = 1 ])
# `b` was a command.
seen='quote=\" backslash=\\ "blank=a b" bare=a'
echo "$said"
[ "$said" = "$seen" ]
