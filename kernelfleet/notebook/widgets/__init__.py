"""Live widgets of engines in a notebook.

::

    engine --controller--> CommLink --kernelfleet's thread--> Bridge --its own thread--> frontend
    frontend --the kernel's thread--> Bridge --> Outbox --CommLink--> controller --> engine

Comms keep the ids that they have on the engine, so that the references between widgets hold, unless
another one has that id already. There is one bridge per fleet in a kernel; it ends with the last
client of the fleet. The notebook's own Python needs no ipywidgets: what is shown around engines'
widgets (tabs, boxes) are comms that are opened by hand.

Where things are::

    in the middle                 bridge
    the kernel's side             local_comm  control
    where views stand             place  models
    decisions without I/O         ids  outbox  captured  output_widgets  as_text  still
"""
