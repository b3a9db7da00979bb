#include "process.hpp"

#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <thread>

#include <onced/client.hpp>

#include "child.hpp"
#include "fake_daemon.hpp"
#include "memory/reader_barrier.hpp"

using namespace onced;
using namespace onced::testing;
using client_detail::Process;

namespace {

constexpr int get_registrations = 512;  // MEMBARRIER_CMD_GET_REGISTRATIONS, since Linux 6.3

bool offered() { return static_cast<bool>(memory::kernel_reader_barrier()); }

// What the kernel says of this process; nothing when it cannot be asked.
std::optional<bool> registered() {
  const long commands = ::syscall(SYS_membarrier, get_registrations, 0U, 0);
  if (commands < 0) return std::nullopt;
  return (commands & MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) != 0;
}

bool forbid_membarrier() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// Connects and hits once. 0: all is well; 1: it does not know whether it is fenced; 2: no hit.
int hit_once(FakeNamespace& space, bool fenced) {
  const Key key = key_named("f");
  FakeDaemon daemon;
  ClientOptions options;
  options.socket = daemon.path();
  options.on_warning = [](std::string_view) {};
  Client client(options);
  std::jthread connecting([&] { (void)client.connect(); });
  FakeConnection connection = daemon.welcome(space);
  connecting.join();
  if (Process::here().fenced_by_daemons() != fenced) return 1;
  const auto value = client.peek(key);
  return value && value->in_shared_memory() && value->text() == "the value" && space.pins_set() == 1 ? 0 : 2;
}

struct Space : FakeNamespace {
  Space() { place(key_named("f"), "the value"); }
};

}  // namespace

TEST_CASE("a process registers for the barriers of daemons, and a forked child does so again") {
  CHECK(Process::here().fenced_by_daemons() == offered());
  CHECK(registered().value_or(offered()) == offered());
  CHECK(in_child([] {
          const bool here = Process::here().fenced_by_daemons() == offered() && registered().value_or(offered()) == offered();
          Space space;
          return here ? hit_once(space, offered()) : 3;
        }) == 0);
}

TEST_CASE("where the registration is refused hits go on, with pins that are fenced in this process") {
  CHECK(in_child([] {
          if (!forbid_membarrier()) return 3;
          Space space;
          return hit_once(space, false);
        }) == 0);
}
