// What eviction keeps: shares of the computing time that a cache of limited size saves, on synthetic traces.
//
// Nothing is timed here: the policies are simulated, the daemon's own by its own code. Seeds are fixed, so every round gives
// the same figure; each is computed once.
//
// The traces and the policy's constants were chosen while looking at the figures of seeds 1 to 7. The held-out traces are the same with other seeds, which
// nobody looks at before a change of the policy is decided: they say whether it was fitted to its traces. Whoever tunes by them draws new ones.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "cases/cases.hpp"
#include "engine/entry.hpp"
#include "engine/eviction_order.hpp"
#include "engine/recency_frequency.hpp"
#include "peers/eviction_policies.hpp"

namespace onced::bench {
namespace {

// The standard distributions differ from one library to the next; these give the same traces everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : bits_(seed) {}
  std::uint64_t next() { return bits_(); }
  double fraction() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double normal() {  // Box and Muller
    const double radius = std::sqrt(-2 * std::log(1 - fraction()));
    return radius * std::cos(2 * std::numbers::pi * fraction());
  }

 private:
  std::mt19937_64 bits_;
};

// ---- traces ---------------------------------------------------------------------------------------------------------

enum class Shape : std::uint8_t { zipf, scan, shift };

struct TraceSettings {
  std::string name;
  Shape shape = Shape::zipf;
  bool correlated = false;  // cost with size
  double exponent = 1.2;
  double capacity = 0.2;  // of the bytes of all items that are asked for again and again
  std::size_t requests = 0;
};

struct Trace {
  std::vector<CacheItem> items;
  std::vector<ItemNumber> requests;
  std::uint64_t capacity_bytes = 0;
};

constexpr std::size_t popular_items = 10'000;
constexpr std::size_t scan_period = 20'000;  // requests
constexpr std::size_t scan_items = 2'000;
constexpr std::size_t shift_period = 40'000;

// Lognormal: 2 kB and 20 ms in the middle.
CacheItem make_item(Random& random, bool correlated) {
  const double of_size = random.normal();
  const double alone = random.normal();
  const double of_cost = correlated ? 0.8 * of_size + 0.6 * alone : alone;
  return {static_cast<std::uint64_t>(1 + 20'000 * std::exp(1.5 * of_cost)), static_cast<std::uint64_t>(300 + 2'000 * std::exp(1.3 * of_size))};
}

Trace make_trace(const TraceSettings& settings, std::uint64_t seed) {
  Random random(seed);
  Trace trace;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < popular_items; ++i) bytes += trace.items.emplace_back(make_item(random, settings.correlated)).bytes;
  trace.capacity_bytes = static_cast<std::uint64_t>(settings.capacity * static_cast<double>(bytes));

  std::vector<double> up_to(popular_items);  // the share of requests for the most popular ones, up to each rank
  for (std::size_t rank = 0; rank < popular_items; ++rank)
    up_to[rank] = (rank == 0 ? 0 : up_to[rank - 1]) + std::pow(static_cast<double>(rank + 1), -settings.exponent);
  std::vector<ItemNumber> of_rank(popular_items);
  std::iota(of_rank.begin(), of_rank.end(), ItemNumber{0});

  while (trace.requests.size() < settings.requests) {
    const std::size_t done = trace.requests.size();
    if (settings.shape == Shape::scan && done % scan_period == scan_period / 2) {
      for (std::size_t i = 0; i < scan_items; ++i) {
        trace.requests.push_back(static_cast<ItemNumber>(trace.items.size()));
        trace.items.push_back(make_item(random, settings.correlated));
      }
      continue;
    }
    if (settings.shape == Shape::shift && done > 0 && done % shift_period == 0) {
      for (std::size_t rank = 0; rank < popular_items / 5; ++rank) std::swap(of_rank[rank], of_rank[random.next() % popular_items]);
    }
    const auto rank = std::lower_bound(up_to.begin(), up_to.end() - 1, random.fraction() * up_to.back());
    trace.requests.push_back(of_rank[static_cast<std::size_t>(rank - up_to.begin())]);
  }
  return trace;
}

// ---- onced ----------------------------------------------------------------------------------------------------------

// The daemon's order over entries without values.
class Onced final : public EvictionPolicy {
 public:
  Onced(std::span<const CacheItem> items, std::uint64_t capacity_bytes)
      : EvictionPolicy(items, capacity_bytes), values_(items.size()), uses_(capacity_bytes / 1024) {
    for (ItemNumber number = 0; number < items.size(); ++number) values_[number].entry.function = number;
  }

  bool keeps(ItemNumber number) const override { return values_[number].kept; }
  void hit(ItemNumber number) override {
    Simulated& value = values_[number];
    value.crf = uses_.used(value.crf, order_.size());
    order_.move(value.place, value.crf + log_cost_per_byte(number));
  }

 private:
  struct Simulated {
    bool kept = false;
    engine::Crf crf = 0;
    engine::EvictionOrder::Place place{};
    engine::Entry entry{};  // its function's number is the item's
  };

  void evict() override {
    const ItemNumber number = order_.least()->function;
    Simulated& value = values_[number];
    uses_.evicted(hash(number), value.crf);
    order_.erase(value.place);
    value.kept = false;
    gone(number);
  }
  void insert(ItemNumber number) override {
    Simulated& value = values_[number];
    value.kept = true;
    value.crf = uses_.stored(hash(number), order_.size());
    value.place = order_.insert(value.entry, value.crf + log_cost_per_byte(number));
  }
  double log_cost_per_byte(ItemNumber number) const { return engine::log_cost_per_byte(item(number).cost_us, item(number).bytes); }
  static std::uint64_t hash(ItemNumber number) { return (number + 1) * 0x9E37'79B9'7F4A'7C15ULL; }

  std::vector<Simulated> values_;
  engine::RecencyFrequency uses_;
  engine::EvictionOrder order_;
};

std::unique_ptr<EvictionPolicy> make_onced(std::span<const CacheItem> items, std::uint64_t capacity_bytes) {
  return std::make_unique<Onced>(items, capacity_bytes);
}

// ---- what the policy hears of -----------------------------------------------------------------------------------------

// Of hits. Exact: of each. Otherwise as the daemon does: a reader notes them in a table by a record's place, one entry
// overwrites another, and the table is read and emptied when room is needed, not more often than every millisecond.
struct Hearing {
  bool exact = true;
  double lost = 0;  // of what is in the table
};
constexpr std::size_t hit_table_entries = 1024;
constexpr std::size_t requests_per_harvest = 1'000;  // a million a second

class HitTable {
 public:
  HitTable(Hearing hearing, EvictionPolicy& policy) : hearing_(hearing), policy_(policy) {}

  void hit(ItemNumber item) {
    if (hearing_.exact) return policy_.hit(item);
    noted_[((item + 1) * 0x9E37'79B9'7F4A'7C15ULL >> 32) % hit_table_entries] = item;
  }
  void before_store(std::size_t request) {
    if (harvested_ && request - *harvested_ < requests_per_harvest) return;
    harvested_ = request;
    for (std::optional<ItemNumber>& noted : noted_) {
      const std::optional<ItemNumber> item = std::exchange(noted, std::nullopt);
      if (item && policy_.keeps(*item) && random_.fraction() >= hearing_.lost) policy_.hit(*item);
    }
  }

 private:
  Hearing hearing_;
  EvictionPolicy& policy_;
  std::array<std::optional<ItemNumber>, hit_table_entries> noted_{};
  std::optional<std::size_t> harvested_;
  Random random_{7};
};

using MakePolicy = std::unique_ptr<EvictionPolicy> (*)(std::span<const CacheItem>, std::uint64_t);

// In per cent of what all requests would cost; the first fifth only fills the cache.
double share_saved(const Trace& trace, MakePolicy make, Hearing hearing) {
  const auto policy = make(trace.items, trace.capacity_bytes);
  HitTable hits(hearing, *policy);
  double total = 0;
  double saved = 0;
  for (std::size_t i = 0; i < trace.requests.size(); ++i) {
    const ItemNumber item = trace.requests[i];
    const double cost = i < trace.requests.size() / 5 ? 0 : static_cast<double>(trace.items[item].cost_us);
    total += cost;
    if (policy->keeps(item)) {
      saved += cost;
      hits.hit(item);
    } else {
      hits.before_store(i);
      policy->store(item);
    }
  }
  return 100 * saved / total;
}

// The worst of three traces that the policy was not chosen by.
struct HeldOut {
  double against_gdsf = std::numeric_limits<double>::infinity();
  double against_lru = std::numeric_limits<double>::infinity();
  double points_lost = -std::numeric_limits<double>::infinity();  // with 90 % of the reports
};
constexpr std::array<std::uint64_t, 3> held_out_seeds{100, 200, 300};

HeldOut worst_held_out(const TraceSettings& settings, std::uint64_t number) {
  HeldOut worst;
  for (const std::uint64_t seed : held_out_seeds) {
    const Trace trace = make_trace(settings, seed + number);
    const double lossy = share_saved(trace, make_onced, {.exact = false});
    worst.against_gdsf = std::min(worst.against_gdsf, lossy / share_saved(trace, make_gdsf, {}));
    worst.against_lru = std::min(worst.against_lru, lossy / share_saved(trace, make_lru, {}));
    worst.points_lost = std::max(worst.points_lost, lossy - share_saved(trace, make_onced, {.exact = false, .lost = 0.9}));
  }
  return worst;
}

void add_held_out(Case& benchmark, const TraceSettings& settings, std::uint64_t number) {
  const std::string name = settings.name + ", held out";
  const std::string gdsf = name + ": onced, lossy / GDSF, exact", lru = name + ": onced, lossy / LRU, exact";
  const std::string lost = name + ": points lost with 90 % of the reports";
  benchmark.contestants.push_back({{{gdsf, "x", ""}, {lru, "x", ""}, {lost, "points", ""}},
                                   [settings, number, once = std::make_shared<std::optional<HeldOut>>()] {
                                     if (!*once) *once = worst_held_out(settings, number);
                                     return std::vector{(*once)->against_gdsf, (*once)->against_lru, (*once)->points_lost};
                                   }});
  benchmark.claims.push_back({name + ": against exact GDSF", gdsf, "", Bound::at_least, 0.95});
  benchmark.claims.push_back({name + ": against exact LRU", lru, "", Bound::at_least, 1});
  benchmark.claims.push_back({name + ": lost with 90 % of the reports", lost, "", Bound::at_most, 1, "points"});
}

}  // namespace

Case make_eviction_case(const Settings& settings) {
  Case benchmark;
  benchmark.name = "eviction";
  benchmark.title = "Computing time that eviction leaves to be saved";
  const std::size_t requests = settings.quick ? 100'000 : 400'000;
  benchmark.setting =
      "Simulated, " + std::to_string(requests) + " requests: 10,000 values, lognormal in cost and size, independent or correlated (0.8), asked for "
      "by Zipf's law with the exponent 1.2, a cache of a fifth of their bytes. Scan: 2,000 values that are never asked for again, "
      "every 20,000 requests. Shift: a fifth of the ranks are swapped with others every 40,000. Tight: exponent 0.9, a tenth of the bytes. "
      "The daemon's own code hears of hits through a table of 1,024 entries that is read at most every 1,000 requests (lossy), or of a "
      "tenth of that (90 % lost), or of all (exact), as do the others. Where few requests hit (tight) there is little to hear of, and losing "
      "nine tenths of it costs more than a point. Held out: the worst of three traces of other seeds, by which nothing was chosen.";

  std::vector<TraceSettings> traces;
  for (const bool correlated : {false, true})
    for (const auto& [name, shape] : {std::pair{"zipf", Shape::zipf}, std::pair{"scan", Shape::scan}, std::pair{"shift", Shape::shift}})
      traces.push_back({std::string(name) + (correlated ? ", correlated" : ""), shape, correlated});
  traces.push_back({"tight", Shape::zipf, false, 0.9, 0.1});

  std::uint64_t seed = 0;
  for (TraceSettings& of_trace : traces) {
    of_trace.requests = requests;
    const std::string& name = of_trace.name;
    const auto trace = std::make_shared<const Trace>(make_trace(of_trace, ++seed));
    const auto saved = [trace](MakePolicy make, Hearing hearing) {
      return [trace, make, hearing, once = std::make_shared<std::optional<double>>()] {
        if (!*once) *once = share_saved(*trace, make, hearing);
        return **once;
      };
    };
    const auto lossy = saved(make_onced, {.exact = false});
    const auto almost_deaf = saved(make_onced, {.exact = false, .lost = 0.9});
    const auto contest = [&](const std::string& figure, const std::string& ours, const auto& measure) {
      benchmark.contestants.push_back({{{figure, "%", ours}}, [measure] { return std::vector{measure()}; }});
    };
    const std::string ours = name + ": onced, lossy";
    contest(ours, "", lossy);
    contest(name + ": onced, exact", ours, saved(make_onced, {}));
    benchmark.contestants.push_back({{{name + ": onced, 90 % lost", "%", ours}, {name + ": points lost with them", "points", ""}},
                                     [lossy, almost_deaf] { return std::vector{almost_deaf(), lossy() - almost_deaf()}; }});
    contest(name + ": GDSF, exact", ours, saved(make_gdsf, {}));
    contest(name + ": S3-FIFO, exact", ours, saved(make_s3_fifo, {}));
    contest(name + ": LRU, exact", ours, saved(make_lru, {}));
    benchmark.claims.push_back({name + ": against exact GDSF", ours, name + ": GDSF, exact", Bound::at_least, 0.95});
    benchmark.claims.push_back({name + ": against exact LRU", ours, name + ": LRU, exact", Bound::at_least, 1});
    benchmark.claims.push_back({name + ": lost with 90 % of the reports", name + ": points lost with them", "", Bound::at_most, 1, "points"});
    add_held_out(benchmark, of_trace, seed);
  }
  return benchmark;
}

}  // namespace onced::bench
