/* A QEMU plugin that counts the instructions which an emulated program executes, by where they lie.
 *
 *     qemu-aarch64 -plugin libcounter.so,out=FILE PROGRAM ...
 *
 * The program switches counting on and off in turns by the system call getppid. Each time it is
 * switched off, FILE gets a line "window", then a line for each block of instructions that ran:
 * its address in hexadecimal and how many instructions of it were executed. A program that computes
 * the same twice gets the same counts, on every machine.
 *
 * The few declarations of qemu-plugin.h that it needs stand here: packages leave that file out.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define GETPPID 173 /* on AArch64 */
#define NO_REGISTERS 0

typedef uint64_t plugin_id;
struct block;
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(
    struct block *, void (*)(unsigned, void *), int, void *);
extern void qemu_plugin_register_vcpu_syscall_cb(
    plugin_id, void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                        uint64_t, uint64_t, uint64_t, uint64_t));
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern uint64_t qemu_plugin_tb_vaddr(const struct block *);

EXPORT int qemu_plugin_version = PLUGIN_VERSION;

struct count {
    uint64_t address, instructions, runs;
    struct count *next;
};
static struct count *counts;
static bool counting;
static FILE *out;

static void executed(unsigned cpu, void *count)
{
    if (counting)
        ((struct count *)count)->runs++;
}

static void translated(plugin_id id, struct block *block)
{
    struct count *count = malloc(sizeof *count);
    if (!count)
        abort();
    *count = (struct count){qemu_plugin_tb_vaddr(block), qemu_plugin_tb_n_insns(block), 0, counts};
    counts = count;
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, NO_REGISTERS, count);
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    if (number != GETPPID)
        return;
    counting = !counting;
    if (counting)
        return;
    fputs("window\n", out);
    for (struct count *count = counts; count; count = count->next) {
        if (count->runs)
            fprintf(out, "%" PRIx64 " %" PRIu64 "\n", count->address,
                    count->runs * count->instructions);
        count->runs = 0;
    }
    fflush(out);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    if (argc != 1 || strncmp(argv[0], "out=", 4) || !(out = fopen(argv[0] + 4, "w"))) {
        fputs("counter: the argument must be out=FILE, in a folder that exists\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
