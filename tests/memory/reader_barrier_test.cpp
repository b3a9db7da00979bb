#include "memory/reader_barrier.hpp"

#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

#include <onced/protocol/segment_reader.hpp>

#include "memory/segment_store.hpp"
#include "tests/memory/aligned_memory.hpp"

using namespace onced;

namespace {

bool offered() {
  const long commands = ::syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0U, 0);
  return commands > 0 && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0;
}

// As a container's or a service's filter may do: the call fails, with `command` or whatever it asks for.
bool forbid_membarrier(int command, bool all) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(command), 0, static_cast<unsigned char>(all ? 0 : 1)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// Exit status of a child: whether there is a barrier under such a filter; 2: there could be no filter.
int barrier_under_filter(int command, bool all) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(forbid_membarrier(command, all) ? (memory::kernel_reader_barrier() ? 1 : 0) : 2);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

std::uint32_t reader_fence_of(memory::ReaderBarrier barrier) {
  test::AlignedMemory memory(256 * 1024);
  const auto store = memory::SegmentStore::create(memory.bytes(), 1, 1, {}, std::move(barrier));
  REQUIRE(store.ok());
  const auto reader = protocol::SegmentReader::open((*store)->segment());
  const std::uint32_t fence = reinterpret_cast<const protocol::SegmentHeader*>(memory.bytes().data())->reader_fence;
  CHECK(reader->daemon_fences() == (fence == protocol::reader_fence_by_daemon));
  return fence;
}

}  // namespace

TEST_CASE("there is a barrier where the kernel offers it, and it can be called") {
  const memory::ReaderBarrier barrier = memory::kernel_reader_barrier();
  REQUIRE(static_cast<bool>(barrier) == offered());
  if (barrier) barrier();
}

TEST_CASE("there is none under a filter of system calls that forbids it, also when the kernel may be asked for it") {
  CHECK(barrier_under_filter(MEMBARRIER_CMD_GLOBAL_EXPEDITED, true) == 0);
  CHECK(barrier_under_filter(MEMBARRIER_CMD_GLOBAL_EXPEDITED, false) == 0);
  CHECK(barrier_under_filter(MEMBARRIER_CMD_PRIVATE_EXPEDITED, false) == (offered() ? 1 : 0));
}

TEST_CASE("a segment says that the daemon fences when it has a barrier, and that readers do when it has none") {
  CHECK(reader_fence_of({}) == protocol::reader_fence_own);
  CHECK(reader_fence_of([] {}) == protocol::reader_fence_by_daemon);
}

TEST_CASE("a store issues its barrier when memory is to be reused, and not to tell who pins what") {
  test::AlignedMemory memory(256 * 1024);
  test::HeapPinPage page;
  int barriers = 0;
  const auto store = std::move(*memory::SegmentStore::create(memory.bytes(), 1, 1, {}, [&] { ++barriers; }));
  store->add_page(engine::ConnectionId{1}, *page);
  const std::vector<protocol::Part> parts{{"", "", "value"}};
  engine::RecordImage image;
  image.key = "key";
  image.parts = &parts;
  const auto record = store->place(image, std::nullopt).record;
  CHECK(store->pins(std::array{record}) == std::vector<std::uint32_t>{0});
  store->reclaim();
  CHECK(barriers == 0);
  store->unlink(record);
  CHECK(store->reclaim() > 0);
  CHECK(barriers == 1);
}
