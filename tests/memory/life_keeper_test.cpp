#include "memory/life_keeper.hpp"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <csignal>

#include "memory/sealed_memory.hpp"
#include "memory/segment_store.hpp"
#include "tests/memory/aligned_memory.hpp"

using namespace onced;
using memory::LifeKeeper;
using memory::SealedMemory;

TEST_CASE("while it is kept the word holds a thread of this process, and a clean stop marks it") {
  std::atomic<std::uint32_t> word{0};
  auto keeper = LifeKeeper::start(word);
  REQUIRE(keeper.ok());
  const std::uint32_t owner = word.load();
  CHECK((owner & protocol::life_owner_died) == 0);
  CHECK((owner & protocol::life_tid_mask) != 0);
  CHECK(::access(("/proc/self/task/" + std::to_string(owner)).c_str(), F_OK) == 0);
  keeper->stop();
  CHECK(word.load() == protocol::life_owner_died);
  keeper->stop();
  CHECK(word.load() == protocol::life_owner_died);
}

TEST_CASE("a keeper that goes out of scope marks the word, and a moved one goes on") {
  std::atomic<std::uint32_t> word{0};
  {
    auto keeper = LifeKeeper::start(word);
    REQUIRE(keeper.ok());
    LifeKeeper moved = std::move(*keeper);
    CHECK((word.load() & protocol::life_owner_died) == 0);
  }
  CHECK(word.load() == protocol::life_owner_died);
}

TEST_CASE("a daemon that is killed is seen as dead by the time that it can be waited for, every time") {
  for (int round = 0; round < 50; ++round) {
    CAPTURE(round);
    auto memory = SealedMemory::create("onced-test-life", 256 * 1024, SealedMemory::Use::segment);
    REQUIRE(memory.ok());
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const pid_t daemon = ::fork();
    REQUIRE(daemon >= 0);
    if (daemon == 0) {
      auto store = memory::SegmentStore::create(memory->bytes(), 1, 1);
      if (!store.ok()) ::_exit(1);
      auto keeper = LifeKeeper::start((*store)->life_word());
      if (!keeper.ok() || ::write(ready[1], "r", 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    const auto reader = protocol::SegmentReader::open(memory->bytes());
    REQUIRE(reader.ok());
    CHECK(reader->alive());
    REQUIRE(::kill(daemon, SIGKILL) == 0);
    int status = 0;
    REQUIRE(::waitpid(daemon, &status, 0) == daemon);
    CHECK(!reader->alive());
    test::HeapPinPage page;
    CHECK(reader->lookup("key", reader->hash("key"), *page, 0).outcome == protocol::LookupOutcome::dead);
    ::close(ready[0]);
    ::close(ready[1]);
  }
}
