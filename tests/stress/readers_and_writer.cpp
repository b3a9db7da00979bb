// Many readers and one writer on one segment: no reader may ever see a wrong byte.
//
// One process and ONE mapping (heap memory, through a span of bytes): two mappings of a file would look unrelated to
// ThreadSanitizer. Every byte of a value follows from its key and version, so that a reader can tell a record that was
// wiped, reused or half written from a whole one. The arena is small and the keys are few: memory is reused all the
// time.
//
// What is checked: the bytes of every hit, when it is found and again when its pin is released; versions of a key never
// go back for one reader; a version that was unlinked before a look-up began is never found by it; granted pins; and at
// the end that the daemon's sums are exactly the hits that the readers counted.
//
// Bounded by operations: `onced_stress [LOOKUPS_PER_READER]`, or ONCED_STRESS_OPS in the environment.
// Exit status: 0 all is well, 3 a wrong byte (what the broken readers and writers in broken/ must end with), 2 usage.
#include <array>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <onced/protocol/segment_reader.hpp>

#include "memory/segment_store.hpp"
#include "tests/memory/aligned_memory.hpp"
#include "tests/memory/reader_registration.hpp"

namespace {

using namespace onced;
using engine::ConnectionId;
using engine::RecordRef;
using engine::RecordStore;

constexpr std::size_t segment_bytes = 256 * 1024;
constexpr std::size_t key_count = 3;
constexpr std::size_t value_bytes_most = 24 * 1024;
constexpr int exit_wrong_byte = 3;
constexpr std::uint64_t seed = 20'250'101;

std::string key_name(std::size_t key) {
  return "key number " + std::to_string(key);
}

std::uint64_t mixed(std::uint64_t value) {  // splitmix64
  value += 0x9e37'79b9'7f4a'7c15ULL;
  value = (value ^ (value >> 30)) * 0xbf58'476d'1ce4'e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d0'49bb'1331'11ebULL;
  return value ^ (value >> 31);
}
// Mostly small, so that memory is reused at once, and now and then so large that wiping and reading take long.
std::uint64_t value_words(std::size_t key, std::uint64_t version) {
  const std::uint64_t dice = mixed(version * key_count + key);
  return 1 + dice % ((value_bytes_most / sizeof(std::uint64_t)) >> (dice >> 32) % 10);
}
std::uint64_t value_word(std::size_t key, std::uint64_t version, std::uint64_t i) {
  return (version * key_count + key) * 0x9e37'79b9'7f4a'7c15ULL + i;
}

// A granted pin on its way from the writer to a reader, as the socket would carry it: key, pin and offset in one word.
struct Grant {
  std::size_t key;
  std::uint32_t pin;
  std::uint64_t offset;
  std::uint64_t packed() const { return (std::uint64_t{key + 1} << 56) | (std::uint64_t{pin} << 40) | offset; }
  static Grant unpack(std::uint64_t word) {
    return {(word >> 56) - 1, static_cast<std::uint32_t>(word >> 40 & 0xffff), word & 0xff'ffff'ffff};
  }
};

// What readers and writer share besides the segment and the pin pages.
struct Scene {
  std::array<std::string, key_count> keys;
  // The newest version of a key that has been unlinked. Release by the writer after unlink(), acquire by readers.
  std::array<std::atomic<std::uint64_t>, key_count> unlinked_version{};
  std::atomic<bool> wrong{false};    // relaxed: only ends loops early; results are read after the threads are joined
  std::atomic<int> readers_left{0};  // acq_rel: the writer reads counts after it is 0
};

void report_wrong(Scene& scene, const char* what, std::size_t key, std::uint64_t version, std::uint64_t detail) {
  if (!scene.wrong.exchange(true)) {
    std::printf("WRONG: %s: key %zu, version %" PRIu64 ", detail %" PRIu64 "\n", what, key, version, detail);
  }
}

class Reader {
 public:
  Reader(Scene& scene, protocol::SegmentReader segment, protocol::PinPage& page, std::uint32_t line,
         protocol::LineUse use, std::uint64_t number)
      : scene_(scene), segment_(segment), page_(page), line_(line), use_(use), random_(seed + number) {
    for (std::size_t key = 0; key < key_count; ++key) hashes_[key] = segment_.hash(scene_.keys[key]);
  }

  void run(std::uint64_t lookups) {
    for (std::uint64_t i = 0; i < lookups && !scene_.wrong.load(std::memory_order_relaxed); ++i) {
      look_up(random_() % key_count);
      if (const std::uint64_t word = mail.exchange(0, std::memory_order_acquire); word != 0) read_granted(word);
    }
    while (!views_.empty()) drop_view(views_.size() - 1);
    scene_.readers_left.fetch_sub(1, std::memory_order_acq_rel);
  }

  std::atomic<std::uint64_t> mail{0};  // a packed Grant; release by the writer, acquire by the reader

  // Valid after the thread has been joined.
  std::array<std::uint64_t, key_count> hits{};
  std::uint64_t copies = 0, misses = 0, no_pins = 0, granted = 0;

 private:
  struct View {
    std::size_t key;
    std::uint64_t version;
    const protocol::RecordHeader* record;
    std::uint32_t pin;
  };

  void look_up(std::size_t key) {
    const std::uint64_t gone = scene_.unlinked_version[key].load(std::memory_order_acquire);
    const auto found = segment_.lookup(scene_.keys[key], hashes_[key], page_, line_, use_);
    if (found.outcome == protocol::LookupOutcome::no_pin) ++no_pins;
    if (found.outcome != protocol::LookupOutcome::hit) {
      ++misses;
      if (!views_.empty()) drop_view(random_() % views_.size());
      return;
    }
    ++hits[key];
    const std::uint64_t version = found.record->version;
    if (version <= gone) report_wrong(scene_, "found after it was unlinked", key, version, gone);
    if (version < newest_[key]) report_wrong(scene_, "older than seen before", key, version, newest_[key]);
    newest_[key] = version;
    const View view{key, version, found.record, found.pin};
    check(view);
    if (found.copy_only) ++copies;
    // Mostly released at once; now and then kept over many later look-ups, so that lines fill up.
    if (found.copy_only || random_() % 4 != 0) {
      release(view);
    } else {
      views_.push_back(view);
    }
    if (views_.size() == 7 || (!views_.empty() && random_() % 8 == 0)) drop_view(random_() % views_.size());
  }

  void read_granted(std::uint64_t word) {
    const Grant grant = Grant::unpack(word);
    const protocol::RecordHeader* record = segment_.record_at(grant.offset, scene_.keys[grant.key]);
    if (record == nullptr) return report_wrong(scene_, "a granted record is gone", grant.key, 0, grant.offset);
    ++granted;
    const View view{grant.key, record->version, record, grant.pin};
    check(view);
    release(view);
  }

  void drop_view(std::size_t position) {
    check(views_[position]);
    release(views_[position]);
    views_.erase(views_.begin() + static_cast<std::ptrdiff_t>(position));
  }

  void release(const View& view) { protocol::release_pin(page_, view.pin); }

  void check(const View& view) {
    const auto part = segment_.part(view.record, 0);
    if (view.record->version != view.version || !part) {
      return report_wrong(scene_, "the header changed under a pin", view.key, view.version, view.record->version);
    }
    const std::uint64_t words = value_words(view.key, view.version);
    if (part->bytes.size() != words * sizeof(std::uint64_t)) {
      return report_wrong(scene_, "wrong length", view.key, view.version, part->bytes.size());
    }
    for (std::uint64_t i = 0; i < words; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, part->bytes.data() + i * sizeof word, sizeof word);
      if (word != value_word(view.key, view.version, i)) {
        return report_wrong(scene_, "wrong bytes", view.key, view.version, i);
      }
    }
  }

  Scene& scene_;
  protocol::SegmentReader segment_;
  protocol::PinPage& page_;
  std::uint32_t line_;
  protocol::LineUse use_;
  std::mt19937_64 random_;
  std::array<protocol::KeyHash, key_count> hashes_{};
  std::array<std::uint64_t, key_count> newest_{};
  std::vector<View> views_;
};

// Places, replaces, unlinks and reclaims until the readers have done their part.
class Writer {
 public:
  Writer(Scene& scene, memory::SegmentStore& store) : scene_(scene), store_(store), random_(seed) {}

  void run(std::vector<std::pair<ConnectionId, Reader*>>& readers) {
    while (scene_.readers_left.load(std::memory_order_acquire) > 0 && !scene_.wrong.load(std::memory_order_relaxed)) {
      const std::size_t key = random_() % key_count;
      const std::uint64_t dice = random_() % 100;
      if (dice < 70) {
        publish(key);
      } else if (dice < 85) {
        unlink(key);
      } else if (dice < 95) {
        auto& [connection, reader] = readers[random_() % readers.size()];
        grant(key, connection, *reader);
      } else if (dice < 98) {
        store_.harvest_hits([&](RecordRef) { ++harvested; });
      } else {
        (void)store_.hit_totals();
      }
      store_.reclaim();
      store_.set_time_ms(++steps);
    }
  }

  std::uint64_t steps = 0, published = 0, harvested = 0;

 private:
  void publish(std::size_t key) {
    const std::uint64_t version = ++version_[key];
    std::vector<protocol::Part> parts(1);
    parts[0].bytes.resize(value_words(key, version) * sizeof(std::uint64_t));
    for (std::uint64_t i = 0; i < parts[0].bytes.size() / sizeof(std::uint64_t); ++i) {
      const std::uint64_t word = value_word(key, version, i);
      std::memcpy(parts[0].bytes.data() + i * sizeof word, &word, sizeof word);
    }
    engine::RecordImage image;
    image.key = scene_.keys[key];
    image.parts = &parts;
    image.version = version;
    image.function_number = static_cast<std::uint32_t>(key);
    image.cost_us = 1;
    const auto placement = store_.place(image, live_[key]);
    if (placement.outcome == RecordStore::Outcome::arena_full) return unlink(random_() % key_count);
    if (placement.outcome != RecordStore::Outcome::placed) return report_wrong(scene_, "not placed", key, version, 0);
    live_[key] = placement.record;
    // Also what was replaced cannot be found any more.
    scene_.unlinked_version[key].store(version - 1, std::memory_order_release);
    ++published;
  }

  void unlink(std::size_t key) {
    if (!live_[key]) return;
    store_.unlink(*live_[key]);
    live_[key].reset();
    scene_.unlinked_version[key].store(version_[key], std::memory_order_release);
  }

  void grant(std::size_t key, ConnectionId connection, Reader& reader) {
    if (!live_[key] || reader.mail.load(std::memory_order_relaxed) != 0) return;
    const auto pin = store_.grant_pin(connection, *live_[key]);
    if (!pin) return;
    reader.mail.store(Grant{key, *pin, static_cast<std::uint64_t>(*live_[key])}.packed(), std::memory_order_release);
  }

  Scene& scene_;
  memory::SegmentStore& store_;
  std::mt19937_64 random_;
  std::array<std::optional<RecordRef>, key_count> live_{};
  std::array<std::uint64_t, key_count> version_{};
};

// Two readers with a page each, of which the first leaves its fence to the writer's barrier (where the kernel has one), and
// two threads that share one line of a third page.
int run(std::uint64_t lookups) {
  test::AlignedMemory memory(segment_bytes);
  auto created = memory::SegmentStore::create(memory.bytes(), seed, 1, {}, memory::kernel_reader_barrier());
  if (!created) {
    std::printf("%s\n", created.error().text.c_str());
    return 1;
  }
  memory::SegmentStore& store = **created;
  const auto segment = protocol::SegmentReader::open(store.segment());

  Scene scene;
  for (std::size_t key = 0; key < key_count; ++key) scene.keys[key] = key_name(key);
  test::HeapPinPage first_page, second_page, shared_page(3);
  const std::array<ConnectionId, 3> connections{ConnectionId{1}, ConnectionId{2}, ConnectionId{3}};
  store.add_page(connections[0], *first_page);
  store.add_page(connections[1], *second_page);
  store.add_page(connections[2], *shared_page);

  using protocol::LineUse;
  const bool fenced = segment->daemon_fences() && test::register_reader();
  if (!fenced) std::printf("no membarrier(GLOBAL_EXPEDITED) here: pins are all claimed by compare-and-swap\n");
  Reader first(scene, *segment, *first_page, 0, fenced ? LineUse::exclusive_fenced : LineUse::exclusive, 1);
  Reader second(scene, *segment, *second_page, 0, LineUse::exclusive, 2);
  Reader third(scene, *segment, *shared_page, 2, LineUse::shared, 3);
  Reader fourth(scene, *segment, *shared_page, 2, LineUse::shared, 4);
  std::vector<std::pair<ConnectionId, Reader*>> readers{
      {connections[0], &first}, {connections[1], &second}, {connections[2], &third}, {connections[2], &fourth}};
  scene.readers_left.store(static_cast<int>(readers.size()));
  std::vector<std::thread> threads;
  for (auto& [connection, reader] : readers) {
    threads.emplace_back([lookups, reader = reader] { reader->run(lookups); });
  }
  Writer writer(scene, store);
  writer.run(readers);
  for (std::thread& thread : threads) thread.join();
  if (scene.wrong.load()) return exit_wrong_byte;

  std::uint64_t hits = 0, copies = 0, misses = 0, no_pins = 0, granted = 0;
  std::array<std::uint64_t, key_count> hits_by_key{};
  for (const auto& [connection, reader] : readers) {
    for (std::size_t key = 0; key < key_count; ++key) hits_by_key[key] += reader->hits[key];
    copies += reader->copies;
    misses += reader->misses;
    no_pins += reader->no_pins;
    granted += reader->granted;
  }
  // Half of the sums while the pages live, half after they died: each page counts exactly once.
  store.remove_page(connections[0]);
  store.remove_page(connections[2]);
  const auto totals = store.hit_totals();
  for (std::size_t key = 0; key < key_count; ++key) {
    hits += hits_by_key[key];
    const std::uint64_t summed = key < totals.size() ? totals[key].hits : 0;
    if (summed != hits_by_key[key]) report_wrong(scene, "hits summed wrongly", key, summed, hits_by_key[key]);
  }
  std::printf("%" PRIu64 " hits (%" PRIu64 " copying), %" PRIu64 " misses (%" PRIu64 " without a free pin), %" PRIu64
              " granted; %" PRIu64 " published in %" PRIu64 " steps, %" PRIu64 " hits harvested\n",
              hits, copies, misses, no_pins, granted, writer.published, writer.steps, writer.harvested);
  if (hits == 0 || writer.published == 0) report_wrong(scene, "nothing happened", 0, hits, writer.published);
  return scene.wrong.load() ? exit_wrong_byte : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const char* words = argc > 1 ? argv[1] : std::getenv("ONCED_STRESS_OPS");
  const std::uint64_t lookups = words != nullptr ? std::strtoull(words, nullptr, 10) : 300'000;
  if (lookups == 0 || argc > 2) {
    std::fprintf(stderr, "usage: onced_stress [LOOKUPS_PER_READER]\n");
    return 2;
  }
  return run(lookups);
}
