#include "wait_bar.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "wait_progress.hpp"

namespace onced::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int quiet_ms = 200;  // nothing is drawn before
constexpr int frame_ms = 200;
constexpr int frames_per_question = 5;  // about the place in a queue

}  // namespace

WaitBar::WaitBar(Context& context, Reach& reach, const Key& key) : context_(context), reach_(reach), key_(key) {
  if (!context.output.talk_screen().live) return;
  end_ = client_detail::Descriptor(::eventfd(0, EFD_CLOEXEC));
  if (end_.open()) thread_ = std::thread([this] { draw(); });
}

WaitBar::~WaitBar() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  while (::write(end_.number(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  thread_.join();
}

bool WaitBar::pause(int milliseconds) const {
  pollfd end{end_.number(), POLLIN, 0};
  ::poll(&end, 1, milliseconds);
  return end.revents == 0;
}

void WaitBar::draw() {
  const auto begun = Clock::now();
  if (!pause(quiet_ms)) return;
  Result<Subscription> subscription = reach_.subscribe(key_);
  WaitProgress progress;
  for (int frame = 0; subscription; ++frame) {
    const Result<std::size_t> events = subscription->poll([&](const Event& event) {
      if (event.kind == Event::Kind::signal) progress.note(event.signal);
      else progress.note(event.state);
    });
    if (!events) break;
    if (progress.needs_holder()) {
      const Result<protocol::Explanation> explanation = reach_.explain(key_);
      progress.set_holder(explanation ? explanation->row.holder : std::string());
    }
    if (progress.queued() && frame % frames_per_question == 0) {
      if (const Result<protocol::Explanation> explanation = reach_.explain(key_)) progress.set_place(explanation->row.queue_position);
    }
    if (progress.known()) {
      const double waited = std::chrono::duration<double>(Clock::now() - begun).count();
      context_.output.live(progress.line(waited, context_.output.talk_screen().width));
    }
    if (!pause(frame_ms)) break;
  }
  context_.output.clear_live();
}

}  // namespace onced::cli
