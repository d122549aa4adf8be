/* The job of all whole-system measures: appends (wall clock in nanoseconds, number) to a file, and ends.
 * usage: stamp FILE [NUMBER]
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec now;
    int64_t record[2];
    int fd;

    clock_gettime(CLOCK_REALTIME, &now);
    record[0] = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    record[1] = argc > 2 ? atoll(argv[2]) : 0;
    fd = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0600);
    return write(fd, record, sizeof record) != sizeof record;
}
