// From the boot loader to long mode, for the boot processor (bsp_) and the others (ap_).
//
// Two loaders know this image: GRUB by the multiboot2 header, QEMU's -kernel by the PVH note.
// Both enter in 32-bit protected mode, paging off, with the address of their boot information
// in ebx. The other CPUs begin in real mode on a page below 1 MiB, to which ap_trampoline is copied.

.set CR0_PE, 1 << 0
.set CR0_MP, 1 << 1
.set CR0_EM, 1 << 2
.set CR0_TS, 1 << 3
.set CR0_NE, 1 << 5
.set CR0_WP, 1 << 16
.set CR0_PG, 1 << 31
.set CR4_PAE, 1 << 5
.set CR4_OSFXSR, 1 << 9
.set CR4_OSXMMEXCPT, 1 << 10
.set MSR_EFER, 0xc0000080
.set EFER_LME, 1 << 8

.set PAGE_PRESENT, 1 << 0
.set PAGE_WRITE, 1 << 1
.set PAGE_UNCACHED, (1 << 3) | (1 << 4)
.set PAGE_LARGE, 1 << 7

.set CODE64, 0x08
.set DATA, 0x10
.set CODE32, 0x18

// The two invitations ------------------------------------------------------------------------

.section .multiboot2, "a", @progbits
.balign 8
multiboot2_header:
    .long 0xe85250d6                    // magic
    .long 0                             // i386, protected mode
    .long multiboot2_end - multiboot2_header
    .long 0x100000000 - 0xe85250d6 - (multiboot2_end - multiboot2_header)
    .short 0, 0                         // end tag
    .long 8
multiboot2_end:

.section .note.pvh, "a", @note
.balign 4
    .long 4, 8, 18                      // name size, value size, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad bsp_pvh32

// 32 bits ------------------------------------------------------------------------------------

.section .boot.text, "ax", @progbits
.code32

.balign 16
.global bsp_pvh32
.type bsp_pvh32, @function
bsp_pvh32:
    // PVH promises nothing of eax: say who came, in place of the magic that multiboot2 passes.
    mov eax, 0x336ec578
.size bsp_pvh32, . - bsp_pvh32

.global bsp_multiboot32
.type bsp_multiboot32, @function
bsp_multiboot32:
    cli
    cld
    mov esp, offset boot_stack_top
    mov edi, eax
    mov esi, ebx
    mov ebp, offset bsp_entry64
    jmp enter_long_mode
.size bsp_multiboot32, . - bsp_multiboot32

.type ap_entry32, @function
ap_entry32:
    mov ax, DATA
    mov ds, ax
    mov ss, ax
    // CPUs start one after another, and the boot processor has left this stack.
    mov esp, offset boot_stack_top
    mov ebp, offset ap_entry64
    // falls through
.size ap_entry32, . - ap_entry32

// Turns on paging, SSE and long mode, and goes on at ebp.
.type enter_long_mode, @function
enter_long_mode:
    mov eax, cr4
    or eax, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT
    mov cr4, eax
    mov eax, offset boot_pml4
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LME
    wrmsr
    mov eax, cr0
    and eax, ~(CR0_EM | CR0_TS)
    or eax, CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_PE
    mov cr0, eax
    lgdt [boot_gdt_pointer]
    push CODE64
    push ebp
    retf
.size enter_long_mode, . - enter_long_mode

// 64 bits ------------------------------------------------------------------------------------

.code64

.macro flat_segments
    mov ax, DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor eax, eax
    mov fs, ax
    mov gs, ax
.endm

.type bsp_entry64, @function
bsp_entry64:
    flat_segments
    fninit
    mov rsp, offset boot_stack_top
    xor ebp, ebp
    mov edi, edi                        // upper halves are undefined after the change of mode
    mov esi, esi
    call {bsp_start}
    ud2
.size bsp_entry64, . - bsp_entry64

.type ap_entry64, @function
ap_entry64:
    flat_segments
    fninit
    mov rsp, [ap_stack_top]
    xor ebp, ebp
    mov rdi, [ap_index]
    call {ap_start}
    ud2
.size ap_entry64, . - ap_entry64

// The other CPUs: real mode -------------------------------------------------------------------

.section .rodata.ap_trampoline, "a", @progbits
.code16
.balign 16
.global ap_trampoline
ap_trampoline:
    // cs is the page this was copied to, the offset counts from its beginning.
    cli
    cld
    mov ax, cs
    mov ds, ax
    // lgdt [ap_gdt_pointer - ap_trampoline] with a 32-bit base, as the table lies above 1 MiB. The
    // assembler does not take a difference of two labels as an address.
    .byte 0x66, 0x0f, 0x01, 0x16
    .short ap_gdt_pointer - ap_trampoline
    mov eax, cr0
    or al, CR0_PE
    mov cr0, eax
    // A far jump with a 32-bit offset: ljmp CODE32, ap_entry32.
    .byte 0x66, 0xea
    .long ap_entry32
    .short CODE32
.balign 8
ap_gdt_pointer:
    .short boot_gdt_end - boot_gdt - 1
    .long boot_gdt
.global ap_trampoline_end
ap_trampoline_end:
.code64

// Data ----------------------------------------------------------------------------------------

.section .rodata.boot_gdt, "a", @progbits
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff            // CODE64
    .quad 0x00cf93000000ffff            // DATA
    .quad 0x00cf9b000000ffff            // CODE32
boot_gdt_end:
boot_gdt_pointer:
    .short boot_gdt_end - boot_gdt - 1
    .long boot_gdt

.section .data.boot_tables, "aw", @progbits
.balign 8
.global ap_stack_top
ap_stack_top:
    .quad 0
.global ap_index
ap_index:
    .quad 0

// The first 4 GiB are mapped where they are, in large pages; the last of them, where the devices
// live, uncached. The first 2 MiB are in small pages, so that page 0 can be taken away when the boot
// information, of which QEMU leaves a part there, has been read.
.balign 4096
.global boot_pml4
boot_pml4:
    .quad boot_pdpt + PAGE_PRESENT + PAGE_WRITE
    .fill 511, 8, 0
boot_pdpt:
    .quad boot_pd + 0x0000 + PAGE_PRESENT + PAGE_WRITE
    .quad boot_pd + 0x1000 + PAGE_PRESENT + PAGE_WRITE
    .quad boot_pd + 0x2000 + PAGE_PRESENT + PAGE_WRITE
    .quad boot_pd + 0x3000 + PAGE_PRESENT + PAGE_WRITE
    .fill 508, 8, 0
boot_pd:
    .quad boot_pt + PAGE_PRESENT + PAGE_WRITE
.set frame, 1
.rept 1535
    .quad frame * 0x200000 + PAGE_PRESENT + PAGE_WRITE + PAGE_LARGE
    .set frame, frame + 1
.endr
.rept 512
    .quad frame * 0x200000 + PAGE_PRESENT + PAGE_WRITE + PAGE_LARGE + PAGE_UNCACHED
    .set frame, frame + 1
.endr
.global boot_pt
boot_pt:
.set frame, 0
.rept 512
    .quad frame * 0x1000 + PAGE_PRESENT + PAGE_WRITE
    .set frame, frame + 1
.endr

.section .bss.boot_stack, "aw", @nobits
.balign 4096
.global boot_stack
boot_stack:
    .skip 32768
.global boot_stack_top
boot_stack_top:
