// A server that does nothing: the share of the kernel in a request, as the floor for every other server.
//
// It counts the requests it reads by the asterisks at their beginnings (no argument of the load tools has one), and
// answers each with 64 bytes, as GET of such a value would. What a server takes beyond this is its own work.
// Not here: parsing, data, errors. Usage: null PORT

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY "$64\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"
enum { READ_BYTES = 16384, REPLY_BYTES = sizeof(REPLY) - 1, REPLIES_MAX = 4096, EVENTS_MAX = 1024 };

int main(int count, char **arguments)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, poll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons(count > 1 ? atoi(arguments[1]) : 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 511)) {
        perror("null");
        return 1;
    }
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS_MAX];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wanted);
    static char input[READ_BYTES], replies[REPLIES_MAX * REPLY_BYTES];
    for (int i = 0; i < REPLIES_MAX; i++)
        memcpy(replies + i * REPLY_BYTES, REPLY, REPLY_BYTES);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            int stream = events[i].data.fd;
            if (stream == listener) {
                wanted.data.fd = accept(listener, NULL, NULL);
                setsockopt(wanted.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                epoll_ctl(poll, EPOLL_CTL_ADD, wanted.data.fd, &wanted);
                continue;
            }
            ssize_t length = recv(stream, input, sizeof input, 0);
            if (length <= 0) {
                close(stream);
                continue;
            }
            size_t requests = 0;
            for (ssize_t at = 0; at < length; at++)
                requests += input[at] == '*';
            if (send(stream, replies, requests * REPLY_BYTES, MSG_NOSIGNAL) < 0)
                close(stream);
        }
    }
}
