// An acknowledged invalidation, hard or soft, is never undone by a late publish: readers of the shared memory never take for
// fresh what was computed from a source that has been invalidated since.
#include <doctest/doctest.h>

#include <charconv>
#include <deque>
#include <thread>

#include <onced/protocol/segment_reader.hpp>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"
#include "support/raw_client.hpp"

using namespace onced;
using namespace onced::protocol;
using namespace onced::testing;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t invalidations = 50'000;
#else
constexpr std::uint64_t invalidations = 1'000'000;
#endif
constexpr int keys = 64;  // fewer: each is invalidated before anybody has computed it
constexpr int publishers = 2;

struct InvalidationNotes {
  std::atomic<std::uint64_t> source[keys];        // what a value is computed from: its key's last invalidation that was begun
  std::atomic<std::uint64_t> acknowledged[keys];  // the last one that was answered
  std::atomic<bool> over;
  std::atomic<std::uint64_t> published;  // and stored
  std::atomic<std::uint64_t> too_late;   // not stored: their lease had been detached
  std::atomic<std::uint64_t> fresh_hits;
  std::atomic<std::uint64_t> stale_hits;
};

std::string key_number(int number) { return std::string(key_named("f", number).bytes()); }

// A client's view of the segment, which tells fresh from stale.
class Mapping {
 public:
  explicit Mapping(const std::string& socket) : client_(socket) {
    const Welcome welcome = client_.hello(true);
    const auto map = [](int descriptor, std::size_t bytes, int protection) {
      void* at = mmap(nullptr, bytes, protection, MAP_SHARED, descriptor, 0);
      if (at == MAP_FAILED) throw std::runtime_error("mmap");
      return at;
    };
    const int segment = client_.take_descriptor();
    const int page = client_.take_descriptor();
    reader_ = SegmentReader::open({static_cast<const std::byte*>(map(segment, welcome.segment_bytes, PROT_READ)), welcome.segment_bytes}).value();
    page_ = static_cast<PinPage*>(map(page, welcome.pin_page_bytes, PROT_READ | PROT_WRITE));
    page_->client_lines_used = 1;
    ::close(segment);
    ::close(page);
  }
  // The number that the value says, and whether it is fresh.
  std::optional<std::pair<std::uint64_t, bool>> look_up(const std::string& key) {
    const LookupResult found = reader_->lookup(key, reader_->hash(key), *page_, 0);
    if (found.outcome != LookupOutcome::hit) return std::nullopt;
    const auto bytes = reader_->part(found.record, 0)->bytes;
    std::uint64_t number = 0;
    std::from_chars(reinterpret_cast<const char*>(bytes.data()), reinterpret_cast<const char*>(bytes.data() + bytes.size()), number);
    release_pin(*page_, found.pin);
    return std::pair(number, found.freshness != Freshness::stale);
  }

 private:
  RawClient client_;
  std::optional<SegmentReader> reader_;
  PinPage* page_ = nullptr;
};

// Computes whatever is wanted, from the source as it is after the grant.
int publish_on(const std::string& socket, InvalidationNotes& notes) {
  RawClient client(socket);
  client.hello();
  RequestId id = 1;
  for (std::uint64_t turn = 0; !notes.over; ++turn) {
    const int number = static_cast<int>(turn % keys);
    Acquire acquire{.key = key_number(number), .held = {}};
    acquire.accept_stale = turn % 3 == 0;
    client.request(++id, acquire);
    for (;;) {
      const auto answer = client.receive();
      if (!answer) return 1;
      if (answer->first != id) continue;  // an older lease was lost
      if (const auto* lease = std::get_if<Lease>(&answer->second)) {
        const std::uint64_t source = notes.source[number];
        std::this_thread::yield();  // computing: others invalidate meanwhile
        Publish publish{lease->token, {protocol::Part{"", "", std::to_string(source)}}, {}};
        publish.retention.grace_ms = turn % 2 == 0 ? 0 : 10'000;
        client.request(++id, publish);
        continue;  // its answer has this id
      }
      if (const auto* published = std::get_if<Published>(&answer->second)) ++(published->stored ? notes.published : notes.too_late);
      break;
    }
  }
  return 0;
}

int read_on(const std::string& socket, InvalidationNotes& notes) {
  Mapping mapping(socket);
  for (int turn = 0; !notes.over; ++turn) {
    const int number = turn % keys;
    const std::uint64_t acknowledged = notes.acknowledged[number];
    const auto found = mapping.look_up(key_number(number));
    if (!found) continue;
    ++(found->second ? notes.fresh_hits : notes.stale_hits);
    if (!found->second || found->first >= acknowledged) continue;
    std::fprintf(stderr, "fresh, and of %llu, though %llu is acknowledged\n", static_cast<unsigned long long>(found->first),
                 static_cast<unsigned long long>(acknowledged));
    return 1;
  }
  return 0;
}

}  // namespace

TEST_CASE("a million invalidations against publishes, hard and soft: no reader takes for fresh what they concern") {
  DaemonProcess daemon;
  Shared<InvalidationNotes> notes;
  std::vector<Worker> workers;
  for (int i = 0; i < publishers; ++i) workers.emplace_back([&] { return publish_on(daemon.socket(), *notes); });
  workers.emplace_back([&] { return read_on(daemon.socket(), *notes); });

  RawClient client(daemon.socket());
  client.hello();
  constexpr std::size_t under_way_max = 16;
  std::deque<std::pair<int, std::uint64_t>> under_way;  // key and number, in order of their answers
  const auto take_answer = [&] {
    client.receive_only<Done>();
    const auto [key, number] = under_way.front();
    under_way.pop_front();
    notes->acknowledged[key] = number;
  };
  for (std::uint64_t number = 1; number <= invalidations; ++number) {
    const int key = static_cast<int>(number % keys);
    notes->source[key] = number;
    REQUIRE(client.request(number + 1, Invalidate{{ScopeKind::key, key_number(key)}, number / keys % 2 == 0}));
    under_way.emplace_back(key, number);
    if (under_way.size() == under_way_max) take_answer();
  }
  while (!under_way.empty()) take_answer();
  notes->over = true;
  for (Worker& worker : workers) CHECK(worker.wait() == 0);
  MESSAGE(notes->published.load() << " values were stored and " << notes->too_late.load() << " came too late; " << notes->fresh_hits.load()
                                  << " fresh and " << notes->stale_hits.load() << " stale hits");
  CHECK(notes->published > 0);
  CHECK(notes->too_late > 0);
  CHECK(notes->fresh_hits > 0);
  CHECK(notes->stale_hits > 0);
}
