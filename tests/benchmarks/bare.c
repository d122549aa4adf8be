/* The limit of the machine: a loop that starts a program and waits for it, and does nothing else.
 * usage: bare COUNT IN_FLIGHT DUE_NS STAMP FILE
 * Waits until the wall clock says DUE_NS, then runs `STAMP FILE number` COUNT times.
 */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

int main(int argc, char **argv)
{
    long count = atol(argv[1]), in_flight = atol(argv[2]), started = 0, running = 0;
    int64_t due = atoll(argv[3]);
    struct timespec until = {due / 1000000000, due % 1000000000};
    char number[24];
    char *command[] = {argv[4], argv[5], number, NULL};
    pid_t pid;

    if (argc != 6)
        return 2;
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL);
    while (started < count || running > 0) {
        if (started < count && running < in_flight) {
            snprintf(number, sizeof number, "%ld", started);
            /* glibc's posix_spawn is a vfork */
            if (posix_spawn(&pid, command[0], NULL, NULL, command, environ))
                return 1;
            started++;
            running++;
        } else if (waitpid(-1, NULL, 0) > 0) {
            running--;
        }
    }
    return 0;
}
