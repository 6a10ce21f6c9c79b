"""What operates the stack: native servers, rules, dashboards, alert inbox and preview."""
