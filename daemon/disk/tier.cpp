#include "disk/tier.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <iterator>
#include <mutex>
#include <optional>
#include <system_error>
#include <unordered_map>
#include <utility>

namespace onced::disk {
namespace {

constexpr std::size_t batch_operations_max = 1024;

// Wakes one thread that sleeps, or the next that is about to. (Not a condition variable: glibc 2.36 loses wake-ups, BZ 25847;
// not std::atomic::wait: it has no time limit.)
class Bell {
 public:
  explicit Bell(bool one_at_a_time) : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (one_at_a_time ? EFD_SEMAPHORE : 0))) {
    if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;
  ~Bell() { ::close(descriptor_); }

  void ring() {
    const std::uint64_t one = 1;
    static_cast<void>(::write(descriptor_, &one, sizeof(one)));
  }
  // Negative: without a limit.
  void wait(std::int64_t limit_ms) {
    pollfd ready{descriptor_, POLLIN, 0};
    static_cast<void>(::poll(&ready, 1, limit_ms < 0 ? -1 : static_cast<int>(std::min<std::int64_t>(limit_ms, 3'600'000))));
    std::uint64_t count = 0;
    static_cast<void>(!::read(descriptor_, &count, sizeof(count)));
  }

 private:
  int descriptor_;
};

}  // namespace

struct Tier::State {
  struct Told {
    Written written;
    bool shed = false;  // a put, which is refused however well what is done instead goes
  };
  struct Queued {
    Store::Operation operation;
    bool durable = false;
    std::size_t bytes = 0;
    bool is_put = false;  // of a value
    bool shed = false;    // a put for which there was no room: a drop now
    bool drops_everything = false;  // in the place of all that waited
    std::vector<Told> told_instead{};  // of these
    Written written;
  };
  struct Load {
    std::string key;
    std::shared_ptr<PartSink> sink;
    LoadDone loaded;
    Accept accept;
  };
  // A key with operations in the queue or being written.
  struct Busy {
    std::size_t operations = 0;
    std::vector<Load> after;
  };

  State(std::unique_ptr<Store> its_store, TierOptions its_options) : store(std::move(its_store)), options(std::move(its_options)) {}

  const std::unique_ptr<Store> store;
  const TierOptions options;
  Bell work{false};   // for the writer
  Bell loads_bell{true};  // for readers

  mutable std::mutex mutex;  // of all below
  std::deque<Queued> queue;
  std::uint64_t left_out = 0;
  std::size_t queue_bytes = 0;  // of what waits and what is being written
  std::size_t held_queued = 0;  // operations in `queue` that are Store::is_held(): these cannot be shed
  std::unordered_map<std::string, Busy> busy;
  std::size_t dropping_everything = 0;  // such operations that wait or are being written: of a key that is not busy there is nothing
  std::deque<Load> loads;
  std::size_t loads_waiting = 0;  // in `loads` and behind busy keys
  struct Compaction {
    Progress progress;
    std::function<void(Result<std::uint64_t>)> done;
    std::uint64_t up_to = 0;  // the last segment when it began; 0: it has not
    std::uint64_t segments = 0;
  };
  std::optional<Compaction> compaction;
  bool stopping = false;
  bool written_all = false;  // the writer has ended

  std::uint64_t now_ms() const { return store->opened_ms() + options.elapsed_ms(); }

  static const std::string* key_of(const Store::Operation& operation) {
    if (const auto* put = std::get_if<Store::Put>(&operation)) return &put->value.key;
    if (const auto* drop = std::get_if<Store::Drop>(&operation)) return &drop->key;
    return nullptr;
  }

  void add(Queued queued) {
    queued.is_put = std::holds_alternative<Store::Put>(queued.operation);
    std::vector<Queued> gone;  // values go when the lock has
    std::size_t more_loads = 0;
    {
      const std::lock_guard lock(mutex);
      if (queued.is_put && queue_bytes > 0 && queue_bytes + queued.bytes > options.queue_bytes_max) {
        Queued& put = gone.emplace_back();
        put.operation = std::exchange(queued.operation, Store::Drop{*key_of(queued.operation)});
        queued.bytes = 0;
        queued.shed = true;
      }
      queue_bytes += queued.bytes;
      held_queued += Store::is_held(queued.operation) ? 1U : 0U;
      if (const std::string* key = key_of(queued.operation)) ++busy[*key].operations;
      queue.push_back(std::move(queued));
      if (queue.size() - held_queued > options.queue_operations_max) more_loads = drop_everything_instead(gone);
    }
    work.ring();
    for (; more_loads != 0; --more_loads) loads_bell.ring();
  }

  // Under the mutex: one operation that drops all values takes the place of all that waits, but for what is held: sessions' before it, the audience behind
  // it, for that may say that somebody is not to find these values. Of the others only who is to be told is kept. Returns how many loads go on.
  std::size_t drop_everything_instead(std::vector<Queued>& gone) {
    std::deque<Queued> of_sessions;
    std::deque<Queued> of_audience;
    Queued everything{.operation = Store::Clear{}, .durable = true, .drops_everything = true, .written = {}};
    std::size_t more_loads = 0;
    for (Queued& each : queue) {
      if (Store::is_held(each.operation)) {
        (Store::is_of_session(each.operation) ? of_sessions : of_audience).push_back(std::move(each));
        continue;
      }
      queue_bytes -= each.bytes;
      left_out += each.is_put ? 1U : 0U;
      dropping_everything -= each.drops_everything ? 1U : 0U;
      if (const std::string* const key = key_of(each.operation)) more_loads += release(*key);
      if (each.written) everything.told_instead.push_back({std::move(each.written), each.is_put});
      std::move(each.told_instead.begin(), each.told_instead.end(), std::back_inserter(everything.told_instead));
      gone.push_back(std::move(each));
    }
    ++dropping_everything;
    queue = std::move(of_sessions);
    queue.push_back(std::move(everything));
    std::move(of_audience.begin(), of_audience.end(), std::back_inserter(queue));
    return more_loads;
  }

  // Under the mutex: an operation of this key is over, or dropped with everything. Returns how many loads go on that waited for it.
  std::size_t release(const std::string& key) {
    const auto found = busy.find(key);
    if (--found->second.operations != 0) return 0;
    const std::size_t more_loads = found->second.after.size();
    std::move(found->second.after.begin(), found->second.after.end(), std::back_inserter(loads));
    busy.erase(found);
    return more_loads;
  }

  static Store::Outcome outcome_of(bool shed, Store::Outcome outcome) { return shed && outcome == Store::Outcome::done ? Store::Outcome::refused : outcome; }

  // Loads that waited for these go on; their callers hear of it.
  void finish(std::vector<Queued>& batch, const std::vector<Store::Outcome>& outcomes) {
    std::size_t more_loads = 0;
    {
      const std::lock_guard lock(mutex);
      for (std::size_t i = 0; i < batch.size(); ++i) {
        const Queued& each = batch[i];
        queue_bytes -= each.bytes;
        if (each.is_put && outcome_of(each.shed, outcomes[i]) != Store::Outcome::done) ++left_out;
        dropping_everything -= each.drops_everything ? 1U : 0U;
        if (const std::string* const key = key_of(each.operation)) more_loads += release(*key);
      }
    }
    for (; more_loads != 0; --more_loads) loads_bell.ring();
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (batch[i].written) batch[i].written(outcome_of(batch[i].shed, outcomes[i]));
      for (const Told& one : batch[i].told_instead) one.written(outcome_of(one.shed, outcomes[i]));
    }
  }

  // One more segment. By the writer.
  void compact_some(std::uint64_t now) {
    Compaction one;
    {
      const std::lock_guard lock(mutex);
      if (!compaction) return;
      one = *compaction;
    }
    Result<std::uint64_t> more = one.up_to;
    if (one.up_to == 0) {
      more = store->begin_compaction();
      one.up_to = more ? *more : 0;
      one.segments = store->status().segments;
    }
    if (more) more = store->compact_oldest(one.up_to, now);
    const std::uint64_t left = std::min<std::uint64_t>(one.segments, more && *more ? *more : 0);
    const bool go_on = one.progress(one.segments - left, one.segments) && left > 0 && !is_stopping();
    {
      const std::lock_guard lock(mutex);
      if (go_on) compaction = one;
      else compaction.reset();
    }
    if (go_on) return;
    if (more) one.done(store->status().used_bytes);
    else one.done(more.error());
  }
  bool is_stopping() const {
    const std::lock_guard lock(mutex);
    return stopping;
  }
  bool is_compacting() const {
    const std::lock_guard lock(mutex);
    return compaction.has_value();
  }

  void write_batches() {
    std::optional<std::uint64_t> sync_at;
    std::optional<std::uint64_t> retry_at;
    std::uint64_t retry_ms = 0;
    bool tried_at_end = false;
    for (;;) {
      std::vector<Queued> batch;
      bool stop = false;
      {
        const std::lock_guard lock(mutex);
        while (!queue.empty() && batch.size() < batch_operations_max) {
          held_queued -= Store::is_held(queue.front().operation) ? 1U : 0U;
          batch.push_back(std::move(queue.front()));
          queue.pop_front();
        }
        stop = stopping;
      }
      const std::uint64_t now = now_ms();
      if (store->degraded()) {
        if (stop && !std::exchange(tried_at_end, true)) {
          static_cast<void>(store->recover(now));  // what is owed would come back at the next start
        } else if (!retry_at) {
          retry_ms = static_cast<std::uint64_t>(options.retry_first.count());
          retry_at = now + retry_ms;
        } else if (*retry_at <= now) {
          retry_ms = std::min(retry_ms * 2, static_cast<std::uint64_t>(options.retry_longest.count()));
          retry_at = now + retry_ms;
          if (store->recover(now)) retry_at.reset();
        }
      }
      if (!batch.empty()) {
        std::vector<Store::Operation> operations;
        bool stable = false;
        for (Queued& each : batch) {
          // A key's name is still needed; the value is not copied.
          if (auto* put = std::get_if<Store::Put>(&each.operation)) {
            std::string key = put->value.key;
            operations.push_back(std::move(each.operation));
            each.operation = Store::Drop{std::move(key)};
          } else {
            operations.push_back(each.operation);
          }
          stable = stable || each.durable;
        }
        const std::vector<Store::Outcome> outcomes = store->write(operations, stable, now);
        operations.clear();
        finish(batch, outcomes);
      }
      if (!sync_at && store->has_unstable()) sync_at = now + static_cast<std::uint64_t>(options.sync_period.count());
      if (sync_at && (*sync_at <= now || (stop && batch.empty()))) {
        store->sync(now);
        sync_at.reset();
      }
      compact_some(now);
      if (!batch.empty() || is_compacting()) continue;
      if (stop) break;
      if (store->degraded() && !retry_at) continue;  // it failed just now, and nobody may ring
      std::optional<std::uint64_t> next = sync_at;
      if (retry_at && (!next || *retry_at < *next)) next = retry_at;
      work.wait(next ? static_cast<std::int64_t>(*next - std::min(*next, now)) : -1);
    }
    {
      const std::lock_guard lock(mutex);
      written_all = true;
    }
    loads_bell.ring();
  }

  // The log has its operations in the order of the calls, so the value that is found was put before whatever waits: a key of which something does has
  // another value by then, or none.
  Result<std::optional<Store::Summary>> look(std::string_view key, std::uint64_t now) const {
    {
      const std::lock_guard lock(mutex);
      if (dropping_everything > 0 || busy.contains(std::string(key))) return std::optional<Store::Summary>();
    }
    return store->look(key, now);
  }
  Result<std::optional<Store::Loaded>> serve(const Load& load) const {
    {
      const std::lock_guard lock(mutex);
      if (dropping_everything > 0) return std::optional<Store::Loaded>();
    }
    const std::uint64_t now = now_ms();
    Store::Accept accept;
    if (load.accept) {
      accept = [&](const ValueFacts& facts, std::string_view attributes) {
        return load.accept(facts, attributes, [&](std::string_view key) { return look(key, now); });
      };
    }
    return store->load(load.key, now, load.sink.get(), accept);
  }

  void serve_loads() {
    for (;;) {
      std::optional<Load> load;
      {
        const std::lock_guard lock(mutex);
        if (!loads.empty()) {
          load = std::move(loads.front());
          loads.pop_front();
          --loads_waiting;
        } else if (written_all) {  // none comes from behind a busy key any more
          break;
        }
      }
      if (load) load->loaded(serve(*load));
      else loads_bell.wait(-1);
    }
    loads_bell.ring();  // for the other readers
  }
};

Tier::Tier(std::unique_ptr<Store> store, TierOptions options) : state_(std::make_shared<State>(std::move(store), std::move(options))) {
  threads_.push_back(std::make_unique<threads::LeavableThread>([state = state_] { state->write_batches(); }));
  for (int i = 0; i < state_->options.readers; ++i) {
    threads_.push_back(std::make_unique<threads::LeavableThread>([state = state_] { state->serve_loads(); }));
  }
}

Tier::~Tier() { stop(std::chrono::milliseconds(0)); }

void Tier::put(ValueInput value, bool durable, Written written) {
  std::size_t bytes = value.key.size() + value.attributes.size() + 256;
  for (const PartInput& part : value.parts) bytes += part.bytes.size() + part.name.size() + part.type.size() + 64;
  state_->add({.operation = Store::Put{std::move(value)}, .durable = durable, .bytes = bytes, .written = std::move(written)});
}
void Tier::drop(std::string key, Written written) { state_->add({.operation = Store::Drop{std::move(key)}, .durable = true, .written = std::move(written)}); }
void Tier::drop_label(Label label, Written written) { state_->add({.operation = Store::DropLabel{label}, .durable = true, .written = std::move(written)}); }
void Tier::keep_session(const SessionFacts& facts, Written written) {
  state_->add({.operation = Store::KeepSession{facts}, .durable = true, .written = std::move(written)});
}
void Tier::end_session(std::uint64_t number, Written written) { state_->add({.operation = Store::EndSession{number}, .durable = true, .written = std::move(written)}); }
void Tier::keep_audience(std::string audience, Written written) {
  state_->add({.operation = Store::KeepAudience{std::move(audience)}, .durable = true, .written = std::move(written)});
}
void Tier::use_session(std::uint64_t number) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->queue.size() >= state_->options.queue_operations_max / 2) return;
  }
  state_->add({.operation = Store::UseSession{number, now_ms()}, .durable = false, .written = {}});
}
void Tier::clear(Written written) { state_->add({.operation = Store::Clear{}, .durable = true, .written = std::move(written)}); }

bool Tier::load(std::string key, std::shared_ptr<PartSink> sink, LoadDone loaded, Accept accept) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->loads_waiting >= state_->options.loads_max || state_->stopping) return false;
    ++state_->loads_waiting;
    State::Load load{std::move(key), std::move(sink), std::move(loaded), std::move(accept)};
    if (const auto found = state_->busy.find(load.key); found != state_->busy.end()) {
      found->second.after.push_back(std::move(load));
      return true;
    }
    state_->loads.push_back(std::move(load));
  }
  state_->loads_bell.ring();
  return true;
}

bool Tier::may_have(std::string_view key) const {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->busy.contains(std::string(key))) return true;
    if (state_->dropping_everything > 0) return false;
  }
  return state_->store->may_have(key);
}

void Tier::compact(Progress progress, std::function<void(Result<std::uint64_t>)> done) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->compaction = State::Compaction{std::move(progress), std::move(done)};
  }
  state_->work.ring();
}

std::function<Result<Store::Verified>(const Tier::Progress&)> Tier::verification() const {
  return [state = state_](const Progress& progress) { return state->store->verify(state->now_ms(), progress); };
}

std::uint64_t Tier::now_ms() const { return state_->now_ms(); }
Store& Tier::store() const { return *state_->store; }
std::uint64_t Tier::left_out() const {
  const std::lock_guard lock(state_->mutex);
  return state_->left_out;
}
std::size_t Tier::queued_bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->queue_bytes;
}

void Tier::stop(std::chrono::milliseconds patience) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->work.ring();
  for (const auto& thread : threads_) thread->stop(patience);
  threads_.clear();
}

}  // namespace onced::disk
