# Sidekiq. Jobs, and with arguments the producer: with_sidekiq.rb KIND FIRST COUNT; as produce.py, which says what for.
require "sidekiq"

FOLDER = ENV.fetch("TRIAL_DIR")
DELAY_S = ENV.fetch("TRIAL_DELAY_S").to_f
FAILURES = ENV.fetch("TRIAL_FAILURES").to_i
TRY_MAX_S = 20

Sidekiq.configure_server do |config|
  config.redis = { url: ENV.fetch("TRIAL_URL") }
  config.options[:average_scheduled_poll_interval] = 1
  config.options[:poll_interval_average] = 1
end
Sidekiq.configure_client { |config| config.redis = { url: ENV.fetch("TRIAL_URL") } }

def note(name, text) = File.open(File.join(FOLDER, name), "a") { |file| file.write(text) }

# One class for the three kinds, as the bodies of the other languages.
class Trial
  include Sidekiq::Worker
  sidekiq_options queue: "trial", retry: 5
  # Sidekiq adds up to ten seconds of chance to the first retry, and to each further one more.
  sidekiq_retry_in { 1 }

  def perform(kind, number)
    if kind == "plain"
      note("began", "#{number}\n")
      sleep 0.02 while File.exist?(File.join(FOLDER, "hold"))
    elsif kind == "flaky"
      note("tries-#{number}", ".")
      raise "not yet: #{number}" if File.size(File.join(FOLDER, "tries-#{number}")) <= FAILURES
    end
    note("ran", "#{number} #{Time.now.to_f}\n")
  end
end

def push(kind, number)
  deadline = Time.now + TRY_MAX_S
  began = nil
  begin
    began = Time.now
    if kind == "later"
      Trial.perform_in(DELAY_S, kind, number)
    else
      Trial.perform_async(kind, number)
    end
  rescue StandardError => error
    raise if Time.now > deadline
    note("failed", "#{number} #{error.inspect}\n")
    sleep 0.05
    retry
  end
  note("acked", "#{number} #{began.to_f}\n")
end

if $PROGRAM_NAME == __FILE__
  kind, first, count = ARGV[0], ARGV[1].to_i, ARGV[2].to_i
  number = first
  while count.positive? ? number < first + count : !File.exist?(File.join(FOLDER, "enough"))
    push(kind, "#{kind}-#{number}")
    number += 1
    sleep 0.005 unless count.positive?
  end
end
